"""POST /events/NAME: events of a stream. All rows of a request are accepted, or none. Accepted rows are on disk.

A request with the header `Idempotency-Key` counts once, however often it is sent.
"""

from __future__ import annotations

import asyncio

from mainstem.errors import RequestError
from mainstem.logs.sent import LONGEST, digest
from mainstem.masking import brief_value
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
            "`backfill` must be true or false", where=where, got=brief_value(backfill), expected="true or false"
        )
    key = _key(request, where)
    events = ingest.accept(rows, backfill=backfill)
    if key is None:
        offset, again = await asyncio.wrap_future(service.committer.submit(service.ingesting(stream, events))), False
    else:
        work = service.once(stream, events, key, digest(request.content))
        offset, again = await asyncio.wrap_future(service.committer.submit(work))
    service.metrics.ingested(stream, 0 if again else len(events))
    said = {"stream": stream, "accepted": len(events), "offset": offset, **({"repeated": True} if again else {})}
    return Response(encode(said), status=202)


def _key(request: Request, where: str) -> str | None:
    """Return the idempotency key of a request. Raises `RequestError` for one that cannot be kept."""
    key = request.header("idempotency-key")
    if key is not None and not 0 < len(key.strip()) <= LONGEST:
        raise RequestError(
            "the idempotency key is too long or empty",
            where=f"{where}, the header Idempotency-Key",
            got=f"{len(key):,} characters",
            expected=f"1 to {LONGEST} characters, such as a UUID",
        )
    return key
