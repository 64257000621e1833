"""GET /metrics: the metrics for Prometheus."""

from __future__ import annotations

import asyncio
import logging

from mainstem.serving.http.messages import Request, Response
from mainstem.serving.http.routing import Route
from mainstem.serving.service import Service

logger = logging.getLogger(__name__)


def routes(service: Service) -> list[Route]:
    async def get(request: Request) -> Response:
        service.metrics.compared(await asyncio.to_thread(service.parity))
        service.metrics.judged(await asyncio.to_thread(service.judged))
        try:  # saved before they are scraped: a new worker starts from them
            await asyncio.to_thread(service.metrics.share)
        except OSError as error:
            logger.warning("other workers do not show the metrics of this one: %s", error)
        return Response(service.metrics.text(), type="text/plain; version=0.0.4; charset=utf-8")

    return [Route("GET", "/metrics", get)]
