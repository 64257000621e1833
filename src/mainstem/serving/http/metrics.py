"""GET /metrics: the metrics for Prometheus."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from mainstem.serving.http.messages import Request, Response
from mainstem.serving.http.routing import Route
from mainstem.serving.service import Service


def routes(service: Service) -> list[Route]:
    async def get(request: Request) -> Response:
        service.metrics.compared(await asyncio.to_thread(service.parity))
        service.metrics.judged(await asyncio.to_thread(service.judged))
        with suppress(OSError):  # saved before they are scraped: a new worker starts from them
            await asyncio.to_thread(service.metrics.share)
        return Response(service.metrics.text(), type="text/plain; version=0.0.4; charset=utf-8")

    return [Route("GET", "/metrics", get)]
