"""POST /outcomes/NAME: what happened after a prediction, by its id. All rows of a request are taken, or none."""

from __future__ import annotations

import asyncio

from mainstem.serving.http.bodies import read_json, rows_in
from mainstem.serving.http.messages import Request, Response, encode
from mainstem.serving.http.routing import Route
from mainstem.serving.service import Service


def routes(service: Service) -> list[Route]:
    async def post(request: Request, endpoint: str) -> Response:
        return await _take(service, request, endpoint)

    return [Route("POST", "/outcomes/{endpoint}", post, scope="ingest")]


async def _take(service: Service, request: Request, endpoint: str) -> Response:
    taker = service.live.taker(endpoint)
    rows, _options = rows_in(read_json(request), "outcomes", frozenset(), service.limits, f"outcomes of {endpoint}")
    outcomes = taker.accept(rows)
    work = service.committer.submit(lambda writer: taker.write(writer, outcomes))
    offset = await asyncio.wrap_future(work)
    service.metrics.told(endpoint, len(outcomes))
    return Response(encode({"endpoint": endpoint, "accepted": len(outcomes), "offset": offset}), status=202)
