"""The Open Inference Protocol, version 2, over REST: /v2/…. An endpoint is a model of the protocol.

Errors are `{"error": "text"}`, as the protocol has them. Tensors are JSON; the binary extension is not supported.
"""

from __future__ import annotations

from importlib.metadata import version as installed
from typing import Any

from mainstem.errors import NotFound, RequestError
from mainstem.masking import brief_value
from mainstem.serving import reasons
from mainstem.serving.http.bodies import read_json
from mainstem.serving.http.messages import Request, Response, encode
from mainstem.serving.http.predict import predicted
from mainstem.serving.http.refusals import TooLarge
from mainstem.serving.http.routing import Route
from mainstem.serving.http.tensors import metadata, rows_of, tensors_of
from mainstem.serving.predictor import Predictor
from mainstem.serving.service import Service


def routes(service: Service) -> list[Route]:
    async def server(request: Request) -> Response:
        return Response(encode({"name": "mainstem", "version": installed("mainstem"), "extensions": []}))

    async def live(request: Request) -> Response:
        return Response(encode({"live": True}))

    async def ready(request: Request) -> Response:
        answers = bool(service.live.release.id) and not service.lost and not service.broken()
        return Response(encode({"ready": answers}), status=200 if answers else 400)

    async def model(request: Request, name: str) -> Response:
        return await _model(service, name, None)

    async def version(request: Request, name: str, version: str) -> Response:
        return await _model(service, name, version)

    async def model_ready(request: Request, name: str) -> Response:
        return await _ready(service, name, None)

    async def version_ready(request: Request, name: str, version: str) -> Response:
        return await _ready(service, name, version)

    async def infer(request: Request, name: str) -> Response:
        return await _infer(service, request, name, None)

    async def infer_version(request: Request, name: str, version: str) -> Response:
        return await _infer(service, request, name, version)

    one, several = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
    return [
        Route("GET", "/v2", server, scope="predict"),
        Route("GET", "/v2/health/live", live, scope=None),
        Route("GET", "/v2/health/ready", ready, scope=None),
        Route("GET", one, model, scope="predict"),
        Route("GET", several, version, scope="predict"),
        Route("GET", f"{one}/ready", model_ready, scope="predict"),
        Route("GET", f"{several}/ready", version_ready, scope="predict"),
        Route("POST", f"{one}/infer", infer, scope="predict"),
        Route("POST", f"{several}/infer", infer_version, scope="predict"),
    ]


def _predictor(service: Service, name: str, version: str | None) -> Predictor:
    """Return the predictor of an endpoint. Raises `NotFound` for a version that does not answer."""
    found = service.live.predictor(name)
    if version is not None and version not in _versions(found):
        what, expected = f"the version {version!r} of {name!r} does not answer", " or ".join(_versions(found))
        raise NotFound(what, got=version, expected=expected, hint="a model of the protocol has its champion alone")
    return found


def _versions(predictor: Predictor) -> tuple[str, str]:
    """Return the id of the champion, and its number."""
    return predictor.version.id, str(predictor.version.number)


async def _model(service: Service, name: str, version: str | None) -> Response:
    predictor = _predictor(service, name, version)
    inputs, outputs = metadata(predictor)
    told = {"name": name, "versions": [predictor.version.id], "platform": "mainstem"}
    return Response(encode({**told, "inputs": inputs, "outputs": outputs}))


async def _ready(service: Service, name: str, version: str | None) -> Response:
    known = name in service.live.missing
    if not known:
        _predictor(service, name, version)
    answers = not known and name not in service.broken()
    return Response(encode({"name": name, "ready": answers}), status=200 if answers else 400)


async def _infer(service: Service, request: Request, name: str, version: str | None) -> Response:
    where, predictor, body = f"model {name}", _predictor(service, name, version), read_json(request)
    if not isinstance(body, dict):
        raise RequestError("the body is not an inference request", where=where, expected='{"inputs": […]}')
    given = _parameters(body, where)
    rows = rows_of(predictor, body.get("inputs"), where)
    if not rows:
        raise RequestError("the request has no rows", where=where, expected="at least one")
    if len(rows) > service.limits.max_rows:
        raise TooLarge.rows(len(rows), service.limits.max_rows, where)
    wanted = _wanted(body, where)
    tensors_of(predictor, [], wanted, where)  # an unknown output is refused before anything is logged
    count = reasons.counted(given.get("reasons"), where)
    options = {each: given[each] for each in ("backfill",) if each in given and predictor.events is not None}
    predictor, answers = await predicted(service, name, rows, options, count)
    outputs = tensors_of(predictor, answers, wanted, where)
    if count:
        told = [encode(each if predictor.heavy else each.get("reasons")).decode() for each in answers]
        outputs.append({"name": "reasons", "datatype": "BYTES", "shape": [len(told)], "data": told})
    id = {"id": body["id"]} if isinstance(body.get("id"), str) else {}
    head = {"model_name": name, "model_version": predictor.version.id, **id}
    return Response(encode({**head, "outputs": outputs}))


def _parameters(body: dict[str, Any], where: str) -> dict[str, Any]:
    given = body.get("parameters", {})
    if not isinstance(given, dict):
        raise RequestError("`parameters` is not an object", where=where, got=brief_value(given), expected="{…}")
    return given


def _wanted(body: dict[str, Any], where: str) -> list[str] | None:
    """Return the names of the outputs that a request wants; None for all."""
    given = body.get("outputs")
    if given is None or given == []:
        return None
    if not isinstance(given, list) or not all(isinstance(e, dict) and isinstance(e.get("name"), str) for e in given):
        raise RequestError(
            "`outputs` is not a list of names", where=where, got=brief_value(given), expected='[{"name": "score"}]'
        )
    return [each["name"] for each in given]
