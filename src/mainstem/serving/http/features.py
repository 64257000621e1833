"""POST /features/VIEW, or /features for several views: the current online features, for one or many rows of keys."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from mainstem.errors import RequestError
from mainstem.features.online.rows import FeatureRow
from mainstem.masking import brief_value
from mainstem.serving.http.bodies import instant, read_json, rows_in
from mainstem.serving.http.messages import Request, Response, encode
from mainstem.serving.http.routing import Route
from mainstem.serving.service import Service
from mainstem.streaming.rows import iso

_LARGE = 64
"""From this number of rows times views on, reads leave the event loop. Reads over a network always do."""


def routes(service: Service) -> list[Route]:
    async def one(request: Request, view: str) -> Response:
        return await _one(service, request, view)

    async def several(request: Request) -> Response:
        return await _several(service, request)

    return [Route("POST", "/features/{view}", one), Route("POST", "/features", several)]


async def _one(service: Service, request: Request, view: str) -> Response:
    where = f"features of {view}"
    body = read_json(request)
    rows, options = rows_in(body, "rows", frozenset({"time"}), service.limits, where)
    found = (await _read(service, [view], rows, options, where))[view]
    if isinstance(body, dict) and "rows" not in body:
        return Response(encode({"view": view, "fingerprint": found[0].fingerprint, **shown(found[0])}))
    return Response(encode({"view": view, **_shown(found)}))


async def _several(service: Service, request: Request) -> Response:
    where = "features"
    body = read_json(request)
    rows, options = rows_in(body, "rows", frozenset({"time", "views"}), service.limits, where)
    views = options.get("views")
    if not isinstance(views, list) or not views or not all(isinstance(name, str) for name in views):
        expected = '{"views": ["NAME", …], "rows": […]}'
        raise RequestError("`views` is not a list of names", where=where, got=brief_value(views), expected=expected)
    found = await _read(service, views, rows, options, where)
    return Response(encode({"views": {name: _shown(answers) for name, answers in found.items()}}))


async def _read(
    service: Service, views: Sequence[str], rows: list[Any], options: dict[str, Any], where: str
) -> dict[str, list[FeatureRow]]:
    reader, at = service.live.reader(), instant(options, where)
    if len(rows) * len(views) < _LARGE and not service.remote:
        found = reader.read(views, rows, at)
    else:
        found = await asyncio.to_thread(reader.read, views, rows, at)
    for name in found:
        service.metrics.read(name, len(rows))
    return found


def _shown(rows: Sequence[FeatureRow]) -> dict[str, Any]:
    return {"fingerprint": rows[0].fingerprint, "rows": [shown(row) for row in rows]}


def shown(row: FeatureRow) -> dict[str, Any]:
    """Return a row as JSON. Instants are ISO 8601 in UTC."""
    return {
        "key": {name: iso(value) for name, value in row.key.items()},
        "time": iso(row.time),
        "features": {name: iso(value) for name, value in row.items()},
        "effective": iso(row.effective),
        "windows": {window: [iso(start), iso(end)] for window, (start, end) in row.windows.items()},
        "missing": row.missing,
    }
