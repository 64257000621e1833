"""GET /health and /live: the process answers. GET /ready: every endpoint can answer.

An endpoint without a champion does not count: events have to be taken before a model can be trained.
"""

from __future__ import annotations

from typing import Any

from mainstem.serving.challengers import Beside
from mainstem.serving.http.errors import described
from mainstem.serving.http.messages import Request, Response, encode
from mainstem.serving.http.routing import Route
from mainstem.serving.service import Service


def routes(service: Service) -> list[Route]:
    async def health(request: Request) -> Response:
        return Response(encode({"status": "ok"}))

    async def ready(request: Request) -> Response:
        live = service.live
        broken, feeding = service.broken(), service.feeding
        trouble = next(iter(service.lost.values()), None) or service.trouble or next(iter(broken.values()), None)
        answers = bool(live.release.id) and not service.lost and not broken
        state = {
            "ready": answers,
            "release": live.release.id or None,
            "endpoints": {
                **{name: predictor.version.id for name, predictor in live.predictors.items()},
                **dict.fromkeys(live.missing),
            },
            "streams": sorted(live.ingests),
            **({"trouble": described(trouble)} if trouble else {}),
            **({"topics": {name: described(error) for name, error in feeding.items()}} if feeding else {}),
            **({"challengers": {n: list(map(_told, each)) for n, each in live.beside.items()}} if live.beside else {}),
            **({"broken": {name: described(error) for name, error in broken.items()}} if broken else {}),
        }
        return Response(encode(state), status=200 if answers else 503)

    paths = {"/health": health, "/live": health, "/ready": ready}
    return [Route("GET", path, handler, scope=None) for path, handler in paths.items()]


def _told(beside: Beside) -> dict[str, Any]:
    found: dict[str, Any] = {"version": beside.version}
    if beside.split is not None:
        guard = beside.split.guard
        canary, end = guard.canary, guard.end
        found["canary"] = {"share": canary.share, "by": canary.by, "ended": end.reason if end else None}
    return {**found, **({"trouble": described(beside.trouble)} if beside.trouble else {})}
