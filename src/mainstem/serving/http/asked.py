"""Predictions of an endpoint that is asked by events: one row is one event. All rows of a request fit, or none is
taken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from mainstem.errors import RequestError
from mainstem.logs.records import Event
from mainstem.logs.sent import AnsweredEvents
from mainstem.masking import brief_value
from mainstem.serving import reasons
from mainstem.serving.asking import PART, Asking, Numbered, Work
from mainstem.serving.http import answers as told
from mainstem.serving.predictor import Predictor
from mainstem.serving.service import Service
from mainstem.serving.turns import Turn, within


async def answered(
    service: Service, predictor: Predictor, rows: list[Any], options: Mapping[str, Any], count: int
) -> list[dict[str, Any]]:
    """Ingest events, and return the answers to them, which are logged."""
    assert predictor.events is not None
    endpoint, stream, live = predictor.name, predictor.events.stream, service.live
    began = time.perf_counter()
    if count:
        await asyncio.wrap_future(service.reasons.prepare([predictor.version]))
    past = _backfill(options, f"endpoint {endpoint}")
    events = live.ingest(stream).accept(rows, backfill=past)
    asking = Asking(
        lambda: service.live.predictor(endpoint),
        lambda event: service.ingesting(stream, [event]),
        _answers(service, endpoint),
        lambda space, key: service.store.read(space, [key])[0],
        told.shown,
        [_answers(service, other) for other in live.asked.get(stream, ()) if other != endpoint],
    )
    budget = None if past else predictor.budget  # no client waits for the answers to past events
    done = await _in_time(service, predictor, asking, events, budget)
    taken = [done[n] for n in range(len(events))]
    fresh = [each.answer for each in taken if each.answer is not None]
    told.count(service, predictor, fresh)
    service.metrics.ingested(stream, sum(each.ingested for each in taken))
    if budget is not None:
        service.metrics.timed(endpoint, time.perf_counter() - began, budget)
    for shadow in (each.shadow for each in live.beside.get(endpoint, ()) if each.shadow is not None):
        service.shadows.offer(shadow, [each for each in fresh if not each.late])
    given: dict[str, Any] = {}
    if count:
        by_version = {p.version.id: p for p in (predictor, service.live.predictor(endpoint))}
        given = await asyncio.wrap_future(service.reasons.of(by_version, fresh, count))
    return [
        {
            **(each.shown if each.answer is None or not count else reasons.told(each.answer, dict(each.shown), given)),
            "event": {"stream": stream, "offset": each.offset},
            **({"repeated": True} if each.repeated else {}),
        }
        for each in taken
    ]


async def _in_time(
    service: Service, predictor: Predictor, asking: Asking, events: Sequence[Event], budget: float | None
) -> Numbered:
    """Take events with their answers: with the declared ones if the endpoint's latency acts and passes."""

    async def every(works: Sequence[Work]) -> Numbered:
        done: Numbered = {}
        for work in works:
            done |= await asyncio.wrap_future(service.committer.submit(work))
        return done

    async def compute(turn: Turn) -> Numbered:
        done, works = await asyncio.to_thread(_prepared, asking, predictor, events, turn)
        return done | await every(works) if turn.take() else {}

    async def instead() -> Callable[[], Awaitable[Numbered]]:
        if len(events) < PART:
            works = asking.late(predictor, events)
        else:
            loop = asyncio.get_running_loop()
            works = await loop.run_in_executor(service.declaring, asking.late, predictor, events)
        return lambda: every(works)

    if predictor.otherwise is None or budget is None:
        return await compute(Turn())
    return await within(budget, compute, instead, predictor.name)


def _prepared(asking: Asking, predictor: Predictor, events: Sequence[Event], turn: Turn) -> tuple[Numbered, list[Work]]:
    """Prepare answers, unless the request was late before a thread was free for it."""
    return ({}, []) if turn.late else asking.prepared(predictor, events)


def _answers(service: Service, endpoint: str) -> AnsweredEvents:
    return service.answered.setdefault(endpoint, AnsweredEvents(endpoint))


def _backfill(options: Mapping[str, Any], where: str) -> bool:
    backfill = options.get("backfill", False)
    if not isinstance(backfill, bool):
        raise RequestError(
            "`backfill` must be true or false", where=where, got=brief_value(backfill), expected="true or false"
        )
    return backfill
