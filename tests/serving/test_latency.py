"""Latencies that act: once the limit has passed, the declared answer is given, logged once, and nothing else is."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import ibis
import pytest

import mainstem as ms
from mainstem.errors import DefinitionError
from mainstem.logs.predictions import logged_predictions
from mainstem.nodes.challengers import Canary, CanaryEnd
from mainstem.serving.predictor import Predictor
from mainstem.serving.turns import Turn, within

LIMIT = 0.08
LATE = ["late", "fallback"]


@contextmanager
def serving(worlds: Any, world: Any) -> Iterator[tuple[Any, Any]]:
    service = world.service()
    service.start()
    with worlds.listening(service) as client:
        yield service, client


@pytest.fixture
def world(world: Any, worlds: Any) -> Any:
    """The world with a champion, and an endpoint that answers True once 80 ms have passed."""
    world.declare(threshold=0.999, latency="80ms", otherwise=True)
    world.promote(worlds.artifact(world.root, 1))
    return world


@pytest.fixture
def model() -> Any:
    examples = ms.files("a.csv", key="id", time="at", known={"*": "at"})
    return ms.model(examples=examples, prediction_time=ibis._.at, target=ibis._.y, features=["price"])


def row(worlds: Any, n: int = 0) -> dict[str, Any]:
    return {"flight_id": f"X{n}", "distance": 1.0, "time": worlds.NOON.isoformat()}


def logged(world: Any) -> list[Any]:
    return list(logged_predictions(world.store, "arrivals"))


def until(found: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.01)


class Held:
    """A function that waits until it is released, and notes when it has ended."""

    def __init__(self, own: Callable[..., Any]) -> None:
        self.own, self.calls, self.ended = own, 0, 0
        self.reached, self.released = threading.Event(), threading.Event()

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        self.calls += 1
        self.reached.set()
        assert self.released.wait(30)
        try:
            return self.own(*arguments, **more)
        finally:
            self.ended += 1


def asked(client: Any, body: Any, count: int = 1) -> list[dict[str, Any]]:
    """Ask, and return the answers; each was given near the limit."""
    began = time.monotonic()
    answer = client.post("/predict/arrivals", json=body)
    seconds = time.monotonic() - began
    assert answer.status_code == 200, answer.text
    assert LIMIT <= seconds < 10 * LIMIT
    found = answer.json().get("predictions", [answer.json()])
    assert len(found) == count
    return list(found)


@pytest.mark.parametrize("count", [1, 100])
@pytest.mark.parametrize("slow", ["model", "features"])
def test_a_slow_part_gives_the_declared_answer_once(
    world: Any, worlds: Any, slow: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(worlds, world) as (service, client):
        predictor = service.live.predictor("arrivals")
        owner, name = (predictor, "scored") if slow == "model" else (world.store, "read_many")
        held = Held(getattr(owner, name))
        monkeypatch.setattr(owner, name, held)
        found = asked(client, {"rows": [row(worlds, n) for n in range(count)]}, count)
        for each in found:
            assert (each["decision"], each["score"], each["features"], each["flags"]) == (True, None, {}, LATE)
        held.released.set()
        until(lambda: held.ended == held.calls > 0)
        time.sleep(0.1)
        (after,) = client.post("/predict/arrivals", json={"rows": [row(worlds)]}).json()["predictions"]
        assert (after["decision"], after["flags"]) == (False, ["unknown:leg", "unknown:airport"])
        metrics = client.get("/metrics").text
    assert f'mainstem_late_answers_total{{endpoint="arrivals"}} {float(count)}' in metrics
    assert 'mainstem_latency_kept_total{endpoint="arrivals",kept="no"} 1.0' in metrics
    entries = logged(world)
    assert Counter(each.id for each in entries) == Counter(each["id"] for each in [*found, after])
    late = entries[0]
    assert (late.score, late.decision, late.flags, late.version) == (None, True, "late,fallback", "late-1")
    assert (late.row["distance"], late.row["leg__origin"], late.row["flight_id"]) == (1.0, None, "X0")


def test_the_declared_answers_to_a_large_request_do_not_hold_small_ones(
    world: Any, worlds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, together = list[str](), list[int]()
    unscored, log = Predictor.unscored, Predictor.logged

    def noted(self: Predictor, *arguments: Any) -> Any:
        made.append(threading.current_thread().name)
        return unscored(self, *arguments)

    def logs(self: Predictor, answers: Any) -> Any:
        work = log(self, answers)
        return lambda writer: (together.append(len(answers)), work(writer))[1]

    monkeypatch.setattr(Predictor, "unscored", noted)
    monkeypatch.setattr(Predictor, "logged", logs)
    with serving(worlds, world) as (service, client):
        predictor = service.live.predictor("arrivals")
        held = Held(predictor.scored)
        monkeypatch.setattr(predictor, "scored", held)
        found = client.post("/predict/arrivals", json=[row(worlds, n) for n in range(1_200)]).json()["predictions"]
        assert all(each["flags"] == LATE for each in found)
        assert len(made) == 1_200 and all(name.startswith("declaring") for name in made)
        assert together == [500, 500, 200]
        held.released.set()
    assert Counter(each.id for each in logged(world)) == Counter(each["id"] for each in found)


def test_what_is_ready_while_the_declared_answer_is_made_answers() -> None:
    async def ask() -> str:
        begun = asyncio.Event()

        async def compute(turn: Turn) -> str:
            await begun.wait()
            return "computed" if turn.take() else "dropped"

        async def instead() -> Callable[[], Any]:
            begun.set()
            await asyncio.sleep(0.05)
            return lambda: asyncio.sleep(0, "declared")

        return await within(0.01, compute, instead, "arrivals")

    assert asyncio.run(ask()) == "computed"


def test_a_request_behind_others_gets_it_and_is_not_computed_any_more(world: Any, worlds: Any) -> None:
    with serving(worlds, world) as (service, client):
        predictor = service.live.predictor("arrivals")
        scored = list[int]()
        held = Held(predictor.scored)

        def counted(columns: Any) -> Any:
            scored.append(len(columns["distance"]))
            return held(columns)

        predictor.scored = counted
        with ThreadPoolExecutor(9) as clients:
            first = clients.submit(asked, client, row(worlds))
            assert held.reached.wait(10)
            behind = [clients.submit(asked, client, row(worlds, n)) for n in range(1, 9)]
            found = [each.result()[0] for each in (first, *behind)]
        assert all(each["flags"] == LATE for each in found)
        held.released.set()
        until(lambda: held.ended == 1)
        after = client.post("/predict/arrivals", json=row(worlds)).json()
        assert after["decision"] is False and scored == [1, 1]  # those that waited were never scored
    assert {each.id for each in logged(world)} == {each["id"] for each in [*found, after]}
    assert len(logged(world)) == 10


def test_other_endpoints_do_not_wait_and_neither_do_reads(world: Any, worlds: Any) -> None:
    with serving(worlds, world) as (service, client):
        predictor = service.live.predictor("arrivals")
        held = predictor.scored = Held(predictor.scored)
        with ThreadPoolExecutor(1) as clients:
            first = clients.submit(asked, client, row(worlds))
            assert held.reached.wait(10)
            assert client.get("/health", timeout=5).status_code == 200
            assert first.result()[0]["flags"] == LATE
        held.released.set()


def test_at_the_border_each_request_has_one_answer_and_one_entry(world: Any, worlds: Any) -> None:
    """Scoring takes as long as the limit, more or less: some answers are in time, some are late, none is both."""
    world.declare(latency="10ms")
    random.seed(5)
    with serving(worlds, world) as (service, client):
        predictor = service.live.predictor("arrivals")
        own = predictor.scored

        def slow(columns: Any) -> Any:
            time.sleep(random.uniform(0.0, 0.02))
            return own(columns)

        predictor.scored = slow

        def many(client_: int) -> list[dict[str, Any]]:
            with httpx.Client(base_url=client.base_url, timeout=30) as mine:
                return [mine.post("/predict/arrivals", json=row(worlds, n)).json() for n in range(60)]

        with ThreadPoolExecutor(4) as clients:
            found = [each for answers in clients.map(many, range(4)) for each in answers]
        time.sleep(0.2)
        metrics = client.get("/metrics").text
    late = {each["id"] for each in found if each["flags"] == LATE}
    assert 10 < len(late) < 230
    entries = logged(world)
    assert Counter(each.id for each in entries) == Counter(each["id"] for each in found)
    assert {each.id for each in entries if each.score is None} == late
    assert {each.id for each in entries if each.decision} == late
    assert f'mainstem_late_answers_total{{endpoint="arrivals"}} {float(len(late))}' in metrics


def kind_of(flags: list[str]) -> str:
    """Return who gave an answer with these flags."""
    return next((each for each in ("late", "canary") if each in flags), "champion")


def test_at_the_border_large_requests_and_those_of_a_canary_are_logged_once_too(world: Any, worlds: Any) -> None:
    world.declare(latency="40ms", canary=Canary(0.5, "flight_id", errors=1.0))
    world.challenge(worlds.artifact(world.root, 2, bias=2.0))
    random.seed(7)
    kinds = Counter[str]()
    with serving(worlds, world) as (service, client):
        for predictor in (service.live.predictor("arrivals"), service.live.beside["arrivals"][0].predictor):
            own = predictor.scored
            predictor.scored = lambda columns, own=own: (time.sleep(random.uniform(0.0, 0.05)), own(columns))[1]

        def many(client_: int) -> list[dict[str, Any]]:
            found = list[dict[str, Any]]()
            with httpx.Client(base_url=client.base_url, timeout=30) as mine:
                for n in range(400):  # a busy machine is late more often
                    if n >= 25 and min(kinds["late"], kinds["canary"], kinds["champion"]) > 10:
                        break
                    sizes = [1, 3, 70, 600] if n < 25 else [1, 3]
                    rows = [row(worlds, n + each) for each in range(random.choice(sizes))]
                    answers = mine.post("/predict/arrivals", json=rows).json()["predictions"]
                    kinds.update(kind_of(each["flags"]) for each in answers)
                    found += answers
            return found

        with ThreadPoolExecutor(3) as clients:
            found = [each for answers in clients.map(many, range(3)) for each in answers]
        time.sleep(0.2)
    assert min(kinds["late"], kinds["canary"], kinds["champion"]) > 10, kinds
    entries = logged(world)
    assert Counter(each.id for each in entries) == Counter(each["id"] for each in found)
    told = {each["id"]: (each["score"], each["decision"], ",".join(each["flags"])) for each in found}
    assert {each.id: (each.score, each.decision, each.flags) for each in entries} == told


def test_without_otherwise_a_late_answer_is_the_models(world: Any, worlds: Any) -> None:
    world.declare(otherwise=None)
    with serving(worlds, world) as (service, client):
        predictor = service.live.predictor("arrivals")
        own = predictor.scored
        predictor.scored = lambda columns: (time.sleep(2 * LIMIT), own(columns))[1]
        answer = client.post("/predict/arrivals", json=row(worlds)).json()
        metrics = client.get("/metrics").text
    assert answer["score"] is not None and "late" not in answer["flags"]
    assert 'mainstem_latency_kept_total{endpoint="arrivals",kept="no"} 1.0' in metrics


def test_a_request_that_does_not_fit_is_refused_and_an_error_stays_an_error(world: Any, worlds: Any) -> None:
    with serving(worlds, world) as (service, client):
        assert client.post("/predict/arrivals", json={"flight_id": 5, "distance": 1.0}).status_code == 400
        predictor = service.live.predictor("arrivals")

        def failing(columns: Any) -> Any:
            raise ZeroDivisionError("no such score")

        predictor.scored = failing
        assert client.post("/predict/arrivals", json=row(worlds)).status_code == 500
    assert logged(world) == []


def test_a_declared_answer_that_throws_leaves_the_request_to_its_own_answer(
    world: Any, worlds: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def throwing(*given: Any) -> Any:
        raise ZeroDivisionError("no such decision")

    monkeypatch.setattr(Predictor, "unscored", throwing)
    with serving(worlds, world) as (service, client):
        predictor = service.live.predictor("arrivals")
        own = predictor.scored
        predictor.scored = lambda columns: (time.sleep(2 * LIMIT), own(columns))[1]
        answer = client.post("/predict/arrivals", json=row(worlds)).json()
    assert answer["score"] is not None
    assert [each.id for each in logged(world)] == [answer["id"]]
    assert "the declared answer of 'arrivals' failed, and late requests wait: no such decision" in caplog.text


def test_a_slow_canary_ends_although_no_answer_was_the_challengers(world: Any, worlds: Any) -> None:
    world.declare(canary=Canary(0.999, "flight_id"))
    world.challenge(worlds.artifact(world.root, 2, bias=2.0))
    with serving(worlds, world) as (service, client):
        challenger = service.live.beside["arrivals"][0].predictor
        own = challenger.scored
        challenger.scored = lambda columns: (time.sleep(2 * LIMIT), own(columns))[1]
        found = list[Any]()
        while not world.state.find(CanaryEnd):  # requests that are late while they wait are not the challenger's
            assert len(found) < 40
            found.append(client.post("/predict/arrivals", json=row(worlds, len(found))).json())
        assert all((each["flags"], each["version"]) == (LATE, "late-1") for each in found[:5])
        after = client.post("/predict/arrivals", json=row(worlds, 100)).json()
        assert after["score"] is not None and "canary" not in after["flags"]
    (end,) = world.state.find(CanaryEnd)
    assert (end.slow, end.failed) == (5, 0)


def test_a_shadow_is_not_asked_for_late_answers(world: Any, worlds: Any) -> None:
    world.shadowed()
    world.challenge(worlds.artifact(world.root, 2, bias=2.0))
    with serving(worlds, world) as (service, client):
        predictor = service.live.predictor("arrivals")
        held = predictor.scored = Held(predictor.scored)
        asked(client, row(worlds))
        held.released.set()
        until(lambda: held.ended == 1)
        client.post("/predict/arrivals", json=row(worlds, 1))
        until(lambda: 'mainstem_shadow_rows_total{endpoint="arrivals",result="scored"' in client.get("/metrics").text)
        metrics = client.get("/metrics").text
    assert 'mainstem_shadow_rows_total{endpoint="arrivals",result="scored",version="late-2"} 1.0' in metrics


def test_the_open_inference_protocol_has_it_too(world: Any, worlds: Any) -> None:
    with serving(worlds, world) as (service, client):
        predictor = service.live.predictor("arrivals")
        held = predictor.scored = Held(predictor.scored)
        inputs = [
            {"name": "flight_id", "datatype": "BYTES", "shape": [1], "data": ["X1"]},
            {"name": "distance", "datatype": "FP64", "shape": [1], "data": [1.0]},
        ]
        answer = client.post("/v2/models/arrivals/infer", json={"inputs": inputs})
        held.released.set()
    found = {each["name"]: each["data"] for each in answer.json()["outputs"]}
    assert (found["decision"], found["score"], found["flags"]) == ([True], [None], ["late,fallback"])


TAKES: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown option": (
        {"decide": ms.cheapest(allow=1, review=2), "latency": ms.latency("5ms", otherwise="reviews")},
        "got: 'reviews' · expected: 'allow', 'review' · hint: did you mean 'review'?",
    ),
    "a text of a threshold": (
        {"threshold": 0.5, "latency": ms.latency("5ms", otherwise="true")},
        "expected: True, False",
    ),
    "no decision": ({"latency": ms.latency("5ms", otherwise=True)}, "expected: an endpoint with decide="),
    "candidates without a fallback": (
        {
            "candidates": ms.grid(price=ms.steps(1, 2, 0.5)),
            "decide": ms.best(ibis._.price),
            "latency": ms.latency("5ms", otherwise="fallback"),
        },
        "expected: an endpoint with decide=",
    ),
}


@pytest.mark.parametrize("case", TAKES)
def test_what_the_endpoint_cannot_answer_is_refused(case: str, model: Any) -> None:
    given, told = TAKES[case]
    with pytest.raises(DefinitionError) as refused:
        ms.endpoint(model, **given)
    error = refused.value
    parts = {"got": error.got, "expected": error.expected, "hint": error.hint}
    assert error.what == "`otherwise` is not an answer of the endpoint"
    assert told in " · ".join(f"{name}: {value}" for name, value in parts.items() if value)
    assert "test_latency.py" in str(error.where)


@pytest.mark.parametrize("wrong", [None, "", 5, 0.5])
def test_otherwise_is_a_text_or_a_boolean(wrong: Any) -> None:
    with pytest.raises(DefinitionError, match="`otherwise` is not a decision"):
        ms.latency("5ms", otherwise=wrong)
    with pytest.raises(DefinitionError, match="`within` must be positive"):
        ms.latency("0s", otherwise=True)
