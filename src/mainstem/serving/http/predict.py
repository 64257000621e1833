"""POST /predict/NAME: predictions for one row or many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from mainstem.logs.records import CHAMPION
from mainstem.nodes.instants import micros_of
from mainstem.nodes.records import now
from mainstem.serving import late, reasons
from mainstem.serving.canary import Split
from mainstem.serving.choosing import ChoosingPredictor
from mainstem.serving.http import answers as told
from mainstem.serving.http import asked
from mainstem.serving.http.bodies import instant, read_json, rows_in
from mainstem.serving.http.messages import Request, Response
from mainstem.serving.http.routing import Route
from mainstem.serving.predictor import Log, Predictor
from mainstem.serving.service import Service
from mainstem.serving.turns import Turn, within

T = TypeVar("T")

_LARGE = 64
"""From this number of rows on, a request is answered in a thread of its own, and small ones pass it."""

_PART = 500
"""The most predictions of a large request that are logged in one transaction: small requests wait for it at most."""


def routes(service: Service) -> list[Route]:
    async def post(request: Request, endpoint: str) -> Response:
        return await _post(service, request, endpoint)

    return [Route("POST", "/predict/{endpoint}", post, scope="predict")]


async def _post(service: Service, request: Request, endpoint: str) -> Response:
    where, predictor = f"endpoint {endpoint}", service.live.predictor(endpoint)
    body = read_json(request)
    own = "time" if predictor.events is None else "backfill"
    rows, options = rows_in(body, "rows", frozenset({own, "reasons"}), service.limits, where)
    count = reasons.counted(options.get("reasons", request.query("reasons")), where)
    predictor, found = await predicted(service, endpoint, rows, options, count)
    if len(found) >= _LARGE:
        return await _in_thread(service, told.response, predictor, body, found)
    return told.response(predictor, body, found)


async def predicted(
    service: Service, endpoint: str, rows: list[Any], options: Mapping[str, Any], count: int
) -> tuple[Predictor, list[dict[str, Any]]]:
    """Return the predictor of an endpoint, and an answer to each row with `count` reasons, which is logged."""
    predictor = service.live.predictor(endpoint)
    if count:
        reasons.bounded(predictor, len(rows), f"endpoint {endpoint}")
    if predictor.events is not None:
        return predictor, await asked.answered(service, predictor, rows, options, count)
    return predictor, await _answered(service, predictor, rows, options, count)


async def _answered(
    service: Service, predictor: Predictor, rows: list[Any], options: Mapping[str, Any], count: int
) -> list[dict[str, Any]]:
    endpoint = predictor.name
    beside = service.live.beside.get(endpoint, ())
    began = time.perf_counter()
    at = instant(options, f"endpoint {endpoint}")
    split = next((each.split for each in beside if each.split is not None), None)
    scoring = {p.version.id: p for p in (predictor, *(each.predictor for each in beside)) if p is not None}
    if count:
        await asyncio.wrap_future(service.reasons.prepare([each.version for each in scoring.values()]))
    large = len(rows) >= _LARGE and not count
    answers = await _in_time(service, predictor, split, rows, at)
    if not large:
        told.count(service, predictor, answers)
    seconds = time.perf_counter() - began
    if predictor.budget is not None:
        service.metrics.timed(endpoint, seconds, predictor.budget)
    if split is not None and any(each.role != CHAMPION for each in answers):
        slow = predictor.budget is not None and seconds > predictor.budget
        split.guard.note("slow" if slow else "answered")
    for shadow in (each.shadow for each in beside if each.shadow is not None):
        each_one = [item for each in answers for item in reasons.items_of(each)]  # of candidates, the chosen ones
        service.shadows.offer(shadow, [each for each in each_one if each.role == CHAMPION and not each.late])
    if large:
        return await _in_thread(service, told.counted, service, predictor, answers)
    found = [told.shown(answer) for answer in answers]
    if count:
        given = await asyncio.wrap_future(service.reasons.of(scoring, answers, count))
        found = [reasons.told(answer, each, given) for answer, each in zip(answers, found, strict=True)]
    return found


async def _in_time(
    service: Service, predictor: Predictor, split: Split | None, rows: Sequence[Any], at: int | None
) -> Sequence[Any]:
    """Return the answers to a request once they are logged: the declared ones if its latency acts and passes."""
    if predictor.otherwise is None or predictor.budget is None:
        return await _answers(service, predictor, split, rows, at, Turn())
    at = micros_of(now()) if at is None else at

    async def compute(turn: Turn) -> Sequence[Any]:
        return await _answers(service, predictor, split, rows, at, turn)

    async def instead() -> Callable[[], Awaitable[Sequence[Any]]]:
        if late.size_of(rows) < _LARGE:
            answers, log = late.instead(predictor, rows, at)
        else:
            loop = asyncio.get_running_loop()
            answers, log = await loop.run_in_executor(service.declaring, late.instead, predictor, rows, at)
        if predictor.counts or len(answers) * predictor.each <= _PART:
            return lambda: asyncio.wrap_future(service.committer.submit(log))
        return lambda: _in_parts(service, answers, predictor.log_of, max(1, _PART // predictor.each))

    return await within(predictor.budget, compute, instead, predictor.name)


async def _answers(
    service: Service, predictor: Predictor, split: Split | None, rows: Sequence[Any], at: int | None, turn: Turn
) -> Sequence[Any]:
    """Return the answers to a request once they are logged; none if the declared ones were given."""
    submit, answering = service.committer.submit, predictor if split is None else split
    if len(rows) >= _LARGE and not predictor.heavy:
        answers, log = await _in_thread(service, _unless_late, turn, answering.answered, rows, at)
        if not _taken(turn, split, rows, answers):
            return []
        if predictor.counts:
            return await asyncio.wrap_future(submit(log))
        return await _in_parts(service, answers, predictor.logged, _PART)
    if service.limits.together > 1 and not _is_long(predictor, rows):
        return await service.coalescer_of(predictor).answered(answering, rows, at, turn)
    if predictor.heavy or service.remote or predictor.otherwise is not None:
        answers, log = await asyncio.to_thread(_unless_late, turn, answering.answered, rows, at)
    else:
        answers, log = answering.answered(rows, at)
    if not _taken(turn, split, rows, answers):
        return []
    if split is None and isinstance(predictor, ChoosingPredictor):
        return await _in_parts(service, answers, predictor.chosen, max(1, _PART // predictor.each))
    return await asyncio.wrap_future(submit(log))


async def _in_parts(
    service: Service, answers: Sequence[Any], log: Callable[[Sequence[Any]], Log[Any]], size: int
) -> list[Any]:
    """Return answers once they are logged, `size` of them in one transaction."""
    parts = [answers[n : n + size] for n in range(0, len(answers), size)]
    return [each for part in parts for each in await asyncio.wrap_future(service.committer.submit(log(part)))]


def _unless_late(
    turn: Turn, answered: Callable[..., tuple[Sequence[Any], Log[Any]]], rows: Sequence[Any], at: int | None
) -> tuple[Sequence[Any], Log[Any]]:
    """Return answers, unless the request was late before a thread was free for it."""
    return ((), lambda writer: ()) if turn.late else answered(rows, at)


def _taken(turn: Turn, split: Split | None, rows: Sequence[Any], answers: Sequence[Any]) -> bool:
    """Return whether answers to rows came in time."""
    in_time = turn.take()
    if not in_time and split is not None:
        split.dropped(answers) if answers else split.missed(rows)
    return in_time


def _is_long(predictor: Predictor, rows: Sequence[Any]) -> bool:
    """Return whether the choices of a request may be more than one transaction logs."""
    return isinstance(predictor, ChoosingPredictor) and len(rows) * predictor.each > _PART


async def _in_thread(service: Service, work: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(service.aside, work, *arguments)
