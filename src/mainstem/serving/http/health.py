"""GET /health and /live: the process answers. GET /ready: it has a release, and the state, to answer from."""

from __future__ import annotations

from mainstem.serving.http.errors import described
from mainstem.serving.http.messages import Request, Response, encode
from mainstem.serving.http.routing import Route
from mainstem.serving.service import Service


def routes(service: Service) -> list[Route]:
    async def health(request: Request) -> Response:
        return Response(encode({"status": "ok"}))

    async def ready(request: Request) -> Response:
        live = service.live
        trouble = service.lost or service.trouble
        answers = bool(live.release.id) and service.lost is None
        state = {
            "ready": answers,
            "release": live.release.id or None,
            "endpoints": {
                **{name: predictor.version.id for name, predictor in live.predictors.items()},
                **dict.fromkeys(live.missing),
            },
            "streams": sorted(live.ingests),
            **({"trouble": described(trouble)} if trouble else {}),
        }
        return Response(encode(state), status=200 if answers else 503)

    paths = {"/health": health, "/live": health, "/ready": ready}
    return [Route("GET", path, handler, scope=None) for path, handler in paths.items()]
