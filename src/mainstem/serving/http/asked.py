"""POST /predict/NAME of an endpoint that is asked by events: one row is one event. All rows are taken, or none."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from mainstem.errors import RequestError
from mainstem.logs.sent import AnsweredEvents
from mainstem.masking import brief
from mainstem.serving import reasons
from mainstem.serving.asking import Asking
from mainstem.serving.http import answers as told
from mainstem.serving.http.bodies import read_json, rows_in
from mainstem.serving.http.messages import Request, Response
from mainstem.serving.service import Service


async def post(service: Service, request: Request, endpoint: str, answered: AnsweredEvents) -> Response:
    """Answer events, and ingest them."""
    where, live = f"endpoint {endpoint}", service.live
    predictor, beside = live.predictor(endpoint), live.beside.get(endpoint, ())
    assert predictor.events is not None
    stream = predictor.events.stream
    body = read_json(request)
    began = time.perf_counter()
    rows, options = rows_in(body, "rows", frozenset({"backfill", "reasons"}), service.limits, where)
    count = reasons.counted(options.get("reasons", request.query("reasons")), where)
    if count:
        reasons.bounded(predictor, len(rows), where)
        await asyncio.wrap_future(service.reasons.prepare([predictor.version]))
    events = live.ingest(stream).accept(rows, backfill=_backfill(options, where))
    asking = Asking(
        lambda: service.live.predictor(endpoint),
        lambda event: service.ingesting(stream, [event]),
        answered,
        told.shown,
    )
    work = await asyncio.to_thread(partial(asking.prepared, predictor, events))
    taken = await asyncio.wrap_future(service.committer.submit(work))
    fresh = [each.answer for each in taken if each.answer is not None]
    told.count(service, predictor, fresh)
    service.metrics.ingested(stream, len(fresh))
    if predictor.budget is not None:
        service.metrics.timed(endpoint, time.perf_counter() - began, predictor.budget)
    for shadow in (each.shadow for each in beside if each.shadow is not None):
        service.shadows.offer(shadow, fresh)
    given: dict[str, Any] = {}
    if count:
        by_version = {p.version.id: p for p in (predictor, service.live.predictor(endpoint))}
        given = await asyncio.wrap_future(service.reasons.of(by_version, fresh, count))
    found = [
        {
            **(each.shown if each.answer is None or not count else reasons.told(each.answer, dict(each.shown), given)),
            "event": {"stream": stream, "offset": each.offset},
            **({"repeated": True} if each.repeated else {}),
        }
        for each in taken
    ]
    return told.response(predictor, body, found)


def _backfill(options: dict[str, Any], where: str) -> bool:
    backfill = options.get("backfill", False)
    if not isinstance(backfill, bool):
        raise RequestError(
            "`backfill` must be true or false", where=where, got=brief(repr(backfill)), expected="true or false"
        )
    return backfill
