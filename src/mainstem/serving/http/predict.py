"""POST /predict/NAME: predictions for one row or many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from mainstem.logs.records import CHAMPION
from mainstem.nodes.instants import instant_of
from mainstem.serving import reasons
from mainstem.serving.canary import Split
from mainstem.serving.choosing import Chosen
from mainstem.serving.forecasting import Forecasted
from mainstem.serving.http.bodies import instant, read_json, rows_in
from mainstem.serving.http.messages import Request, Response, encode
from mainstem.serving.http.routing import Route
from mainstem.serving.predictor import Answer, Predictor
from mainstem.serving.service import Service
from mainstem.streaming.rows import iso

T = TypeVar("T")

_LARGE = 64
"""From this number of rows on, a request is answered in a thread of its own, and small ones pass it."""

_PART = 500
"""The most predictions of a large request that are logged in one transaction: small requests wait for it at most."""


def routes(service: Service) -> list[Route]:
    async def post(request: Request, endpoint: str) -> Response:
        return await _predict(service, request, endpoint)

    return [Route("POST", "/predict/{endpoint}", post, scope="predict")]


async def _predict(service: Service, request: Request, endpoint: str) -> Response:
    where = f"endpoint {endpoint}"
    live = service.live
    predictor, beside = live.predictor(endpoint), live.beside.get(endpoint, ())
    body = read_json(request)
    began = time.perf_counter()
    rows, options = rows_in(body, "rows", frozenset({"time", "reasons"}), service.limits, where)
    at = instant(options, where)
    count = reasons.counted(options.get("reasons", request.query("reasons")), where)
    split = next((each.split for each in beside if each.split is not None), None)
    scoring = {p.version.id: p for p in (predictor, *(each.predictor for each in beside)) if p is not None}
    if count:
        reasons.bounded(predictor, len(rows), where)
        await asyncio.wrap_future(service.reasons.prepare([each.version for each in scoring.values()]))
    large = len(rows) >= _LARGE and not count
    answers = await _answers(service, predictor, split, rows, at)
    if not large:
        _count(service, predictor, answers)
    seconds = time.perf_counter() - began
    if predictor.budget is not None:
        service.metrics.timed(endpoint, seconds, predictor.budget)
    if split is not None and any(each.role != CHAMPION for each in answers):
        late = predictor.budget is not None and seconds > predictor.budget
        split.guard.note("slow" if late else "answered")
    for shadow in (each.shadow for each in beside if each.shadow is not None):
        service.shadows.offer(shadow, [each for each in answers if each.role == CHAMPION])
    if count:
        found = [shown(answer) for answer in answers]
        given = await asyncio.wrap_future(service.reasons.of(scoring, answers, count))
        found = [reasons.told(answer, each, given) for answer, each in zip(answers, found, strict=True)]
    head = {"endpoint": endpoint, "model": predictor.version.model, "version": predictor.version.id}
    if isinstance(body, dict) and "rows" not in body:
        return Response(encode({**head, **(found[0] if count else shown(answers[0]))}))
    if large:
        return Response(await _in_thread(service, _counted, service, predictor, head, answers))
    return Response(encode({**head, "predictions": found if count else [shown(answer) for answer in answers]}))


async def _answers(
    service: Service, predictor: Predictor, split: Split | None, rows: Sequence[Any], at: int | None
) -> Sequence[Any]:
    """Return the answers to a request once they are logged."""
    submit, answering = service.committer.submit, predictor if split is None else split
    if len(rows) >= _LARGE and not predictor.heavy:
        answers, log = await _in_thread(service, answering.answered, rows, at)
        if predictor.counts:
            return await asyncio.wrap_future(submit(log))
        parts = [answers[n : n + _PART] for n in range(0, len(answers), _PART)]
        return [each for part in parts for each in await asyncio.wrap_future(submit(predictor.logged(part)))]
    if split is None and not predictor.heavy:
        return await service.coalescer.answered(predictor, rows, at)
    if predictor.heavy or service.remote:
        answers, log = await asyncio.to_thread(answering.answered, rows, at)
    else:
        answers, log = answering.answered(rows, at)
    return await asyncio.wrap_future(submit(log))


async def _in_thread(service: Service, work: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(service.aside, work, *arguments)


def _counted(service: Service, predictor: Predictor, head: Mapping[str, Any], answers: Sequence[Any]) -> bytes:
    """Count answers, and return them as JSON. They are encoded one by one: other threads take turns meanwhile."""
    _count(service, predictor, answers)
    return encode(head)[:-1] + b',"predictions":[' + b",".join(encode(shown(answer)) for answer in answers) + b"]}"


def _count(service: Service, predictor: Predictor, answers: Sequence[Answer | Chosen | Forecasted]) -> None:
    """Count predictions and decisions of each version that answered."""
    by = dict[str, list[Answer | Chosen | Forecasted]]()
    for answer in answers:
        version = answer.version if isinstance(answer, Answer) else predictor.version.id
        by.setdefault(version, []).append(answer)
    for version, some in by.items():
        unknown = sum(any(flag.startswith("unknown:") for flag in answer.flags) for answer in some)
        service.metrics.predicted(predictor.name, version, len(some), unknown)
        each_one = [one for each in some for one in (each.items if isinstance(each, Forecasted) else (each,))]
        made = [one.decision for one in each_one if isinstance(one, Answer) and decides(one)]
        service.metrics.decided(predictor.name, version, made)


def decides(answer: Answer) -> bool:
    """Return whether the endpoint decides: by a policy, or by a threshold of its own or of the version."""
    return answer.decision is not None or answer.policy is not None


def shown(answer: Answer | Chosen | Forecasted) -> dict[str, Any]:
    """Return an answer as JSON. A binary score is P(true); several scores are shown by name too.

    `decision` is present if the endpoint has a policy, or the endpoint or the version a threshold. `version` is present
    if it is not the champion.
    """
    if isinstance(answer, (Chosen, Forecasted)):
        return {"id": answer.id, "time": iso(instant_of(answer.time)), **answer.shown()}
    found: dict[str, Any] = {
        "id": answer.id,
        **({} if answer.role == CHAMPION else {"version": answer.version}),
        "time": iso(instant_of(answer.time)),
        "score": answer.score,
        **({"decision": answer.decision} if decides(answer) else {}),
        **({} if answer.policy is None else {"values": answer.values, "policy": answer.policy}),
        **({} if answer.label is None else {"label": answer.label}),
        **({} if not answer.scores else {"scores": answer.scores}),
        "features": answer.features,
    }
    return {**found, "flags": list(answer.flags)} if answer.flags else found
