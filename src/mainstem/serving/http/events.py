"""POST /events/NAME: events of a stream. All rows of a request are accepted, or none. Accepted rows are on disk."""

from __future__ import annotations

import asyncio

from mainstem.errors import RequestError
from mainstem.masking import brief
from mainstem.serving.http.bodies import read_json, rows_in
from mainstem.serving.http.messages import Request, Response, encode
from mainstem.serving.http.routing import Route
from mainstem.serving.service import Service


def routes(service: Service) -> list[Route]:
    async def post(request: Request, stream: str) -> Response:
        return await _take(service, request, stream)

    return [Route("POST", "/events/{stream}", post, scope="ingest")]


async def _take(service: Service, request: Request, stream: str) -> Response:
    where = f"stream {stream}"
    ingest = service.live.ingest(stream)
    body = read_json(request)
    rows, options = rows_in(body, "events", frozenset({"backfill"}), service.limits, where)
    backfill = options.get("backfill", False)
    if not isinstance(backfill, bool):
        raise RequestError(
            "`backfill` must be true or false", where=where, got=brief(repr(backfill)), expected="true or false"
        )
    events = ingest.accept(rows, backfill=backfill)
    offset = await asyncio.wrap_future(service.committer.submit(service.ingesting(stream, events)))
    service.metrics.ingested(stream, len(events))
    return Response(encode({"stream": stream, "accepted": len(events), "offset": offset}), status=202)
