"""The page's routes, for `mainstem.serving.create_app(service, pages.routes(status))`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import to_builtins

from mainstem.masking import masked, masked_all
from mainstem.nodes.status import ProjectStatus
from mainstem.pages.page import mark, render
from mainstem.serving.http.messages import HTML, Request, Response, encode
from mainstem.serving.http.routing import Route

Status = Callable[[], ProjectStatus]


def routes(status: Status) -> list[Route]:
    """Return `GET /` and `GET /api/status` over a function that returns the status. It is called in a thread."""

    async def page(request: Request) -> Response:
        html = await asyncio.to_thread(lambda: masked(render(status())))
        return Response(
            html.encode(), type=HTML, headers={"cache-control": "no-store", "content-security-policy": _CSP}
        )

    async def api(request: Request) -> Response:
        found = await asyncio.to_thread(status)
        return Response(
            encode(masked_all({**to_builtins(found), "mark": mark(found)})), headers={"cache-control": "no-store"}
        )

    return [Route("GET", "/", page), Route("GET", "/api/status", api)]


_CSP = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"
