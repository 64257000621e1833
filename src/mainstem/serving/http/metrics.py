"""GET /metrics: the metrics for Prometheus."""

from __future__ import annotations

import asyncio

from mainstem.serving.http.messages import Request, Response
from mainstem.serving.http.routing import Route
from mainstem.serving.service import Service


def routes(service: Service) -> list[Route]:
    async def get(request: Request) -> Response:
        service.metrics.compared(await asyncio.to_thread(service.parity))
        service.metrics.judged(await asyncio.to_thread(service.judged))
        return Response(service.metrics.text(), type="text/plain; version=0.0.4; charset=utf-8")

    return [Route("GET", "/metrics", get)]
