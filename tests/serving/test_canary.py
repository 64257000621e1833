"""A canary answers a share of requests, sticky by key, and ends by itself when it fails; no request fails."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mainstem.errors import DefinitionError
from mainstem.logs.predictions import logged_predictions
from mainstem.logs.shadows import decode_shadowed
from mainstem.nodes.challengers import Canary, CanaryEnd
from mainstem.nodes.records import ModelVersion
from mainstem.serving.canary import WINDOW, Guard


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def rows(*flights: int) -> list[dict[str, Any]]:
    return [{"flight_id": f"X{n}", "distance": 1.0} for n in flights]


def asked(worlds: Any, *flights: int) -> dict[str, Any]:
    return {"rows": rows(*flights), "time": worlds.NOON.isoformat()}


@contextmanager
def serving(worlds: Any, world: Any) -> Iterator[tuple[Any, Any]]:
    service = world.service()
    service.start()
    with worlds.listening(service) as client:
        yield service, client


def until(found: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.01)


def by_challenger(answer: dict[str, Any]) -> bool:
    return "canary" in answer["flags"]


@pytest.fixture
def world(world: Any, worlds: Any) -> Any:
    """The world with a champion, a challenger whose scores are higher, and a canary by flight."""
    world.declare(canary=Canary(0.3, "flight_id"))
    world.promote(worlds.artifact(world.root, 1))
    world.challenge(worlds.artifact(world.root, 2, bias=2.0))
    return world


def broken(service: Any, fault: Any) -> Any:
    """Break the challenger's scoring in the running server."""
    predictor = service.live.beside["arrivals"][0].predictor
    predictor.scored = fault
    return predictor


def raising(columns: Any) -> Any:
    raise ZeroDivisionError("no such score")


def test_a_share_of_requests_is_answered_by_the_challenger_and_logged_as_its(world: Any, worlds: Any) -> None:
    with serving(worlds, world) as (_service, client):
        body = client.post("/predict/arrivals", json=asked(worlds, *range(1_000))).json()
        metrics = client.get("/metrics").text
    answers = body["predictions"]
    taken = [each for each in answers if by_challenger(each)]
    assert 230 < len(taken) < 370
    assert body["version"] == "late-1" and {each["version"] for each in taken} == {"late-2"}
    assert not any("version" in each for each in answers if not by_challenger(each))
    for each in answers:
        assert each["score"] == pytest.approx(sigmoid(2.0 if by_challenger(each) else 0.0), abs=1e-6)
    logged = list(logged_predictions(world.store, "arrivals"))
    assert [each.id for each in logged] == [each["id"] for each in answers]
    for entry, answer in zip(logged, answers, strict=True):
        expected = ("late-2", "challenger") if by_challenger(answer) else ("late-1", "champion")
        assert (entry.version, entry.role) == expected and entry.score == answer["score"]
        assert entry.flags == ",".join(answer["flags"])
    assert f'mainstem_predictions_total{{endpoint="arrivals",version="late-2"}} {len(taken)}.0' in metrics
    assert 'mainstem_canary_requests_total{endpoint="arrivals",result="answered",version="late-2"} 1.0' in metrics
    assert 'mainstem_canary_ended{endpoint="arrivals",version="late-2"} 0.0' in metrics


def test_the_same_key_gets_the_same_version_also_after_a_restart(world: Any, worlds: Any) -> None:
    found = []
    for _ in range(2):
        with serving(worlds, world) as (_service, client):
            for n in range(0, 60, 20):
                body = client.post("/predict/arrivals", json=asked(worlds, *range(n, n + 20), *range(20))).json()
                found.append([by_challenger(each) for each in body["predictions"]])
    assert found[:3] == found[3:] and len({tuple(each[20:]) for each in found}) == 1
    assert any(found[0]) and not all(found[0])


def test_another_version_has_other_keys(world: Any, worlds: Any) -> None:
    def taken(client: Any) -> set[int]:
        answers = client.post("/predict/arrivals", json=asked(worlds, *range(300))).json()["predictions"]
        return {n for n, each in enumerate(answers) if by_challenger(each)}

    with serving(worlds, world) as (service, client):
        first = taken(client)
        world.challenge(worlds.artifact(world.root, 3))
        until(lambda: service.live.beside["arrivals"][0].version == "late-3")
        assert taken(client) != first


def test_without_by_the_id_of_the_prediction_decides(world: Any, worlds: Any) -> None:
    world.declare(canary=Canary(0.5))
    with serving(worlds, world) as (_service, client):
        answers = client.post("/predict/arrivals", json=asked(worlds, *([7] * 200))).json()["predictions"]
    assert 60 < sum(map(by_challenger, answers)) < 140


def test_one_row_has_one_version(world: Any, worlds: Any) -> None:
    with serving(worlds, world) as (_service, client):
        for n in range(20):
            body = client.post("/predict/arrivals", json=rows(n)[0]).json()
            expected = ("late-2", sigmoid(2.0)) if by_challenger(body) else ("late-1", sigmoid(0.0))
            assert body["version"] == expected[0] and body["score"] == pytest.approx(expected[1], abs=1e-6)


def test_a_canary_that_throws_fails_no_request_and_ends(
    world: Any, worlds: Any, caplog: pytest.LogCaptureFixture
) -> None:
    world.declare(canary=Canary(0.999, "flight_id"))
    with serving(worlds, world) as (service, client):
        broken(service, raising)
        for n in range(12):
            answer = client.post("/predict/arrivals", json=asked(worlds, n, n + 100))
            assert answer.status_code == 200
            assert not any(map(by_challenger, answer.json()["predictions"]))
            assert [each["score"] for each in answer.json()["predictions"]] == pytest.approx([0.5, 0.5])
        metrics, ready = client.get("/metrics").text, client.get("/ready").json()
        until(lambda: bool(world.state.find(CanaryEnd)))
    (end,) = world.state.find(CanaryEnd)
    assert (end.endpoint, end.branch, end.version) == ("arrivals", "main", "late-2")
    assert (end.requests, end.failed, end.slow) == (5, 5, 0)
    assert end.reason == "of the last 5 requests 5 failed: no such score; at most 0.02 of them may"
    # After its end the challenger was not asked again.
    assert 'mainstem_canary_requests_total{endpoint="arrivals",result="failed",version="late-2"} 5.0' in metrics
    assert 'mainstem_canary_ended{endpoint="arrivals",version="late-2"} 1.0' in metrics
    assert ready["challengers"]["arrivals"][0]["canary"]["ended"] == end.reason
    assert caplog.text.count(f"the canary of late-2 ended: {end.reason}") == 1
    logged = list(logged_predictions(world.store, "arrivals"))
    assert {each.version for each in logged} == {"late-1"} and len(logged) == 24


def test_a_restart_does_not_begin_again_and_a_new_version_does(world: Any, worlds: Any) -> None:
    world.declare(canary=Canary(0.999, "flight_id"))
    with serving(worlds, world) as (service, client):
        broken(service, raising)
        for n in range(8):
            client.post("/predict/arrivals", json=asked(worlds, n))
    with serving(worlds, world) as (service, client):
        answers = client.post("/predict/arrivals", json=asked(worlds, *range(50))).json()["predictions"]
        assert not any(map(by_challenger, answers))
        world.challenge(worlds.artifact(world.root, 3, bias=1.0))
        until(lambda: service.live.beside["arrivals"][0].version == "late-3")
        answers = client.post("/predict/arrivals", json=asked(worlds, *range(50))).json()["predictions"]
        assert all(map(by_challenger, answers))


def test_another_server_of_the_branch_follows_the_end(world: Any, worlds: Any) -> None:
    world.declare(canary=Canary(0.999, "flight_id"))
    with serving(worlds, world) as (_service, client):
        assert by_challenger(client.post("/predict/arrivals", json=asked(worlds, 1)).json()["predictions"][0])
        world.state.save(CanaryEnd("main/arrivals/late-2", "arrivals", "main", "late-2", "said by another server"))
        until(lambda: client.get("/ready").json()["challengers"]["arrivals"][0]["canary"]["ended"] is not None)
        assert not by_challenger(client.post("/predict/arrivals", json=asked(worlds, 1)).json()["predictions"][0])
        assert 'mainstem_canary_ended{endpoint="arrivals",version="late-2"} 1.0' in client.get("/metrics").text


def test_an_end_that_cannot_be_saved_at_once_is_saved_later(
    world: Any, worlds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.declare(canary=Canary(0.999, "flight_id"))
    with serving(worlds, world) as (service, client):
        broken(service, raising)
        save, failures = world.state.save, list[int]()

        def fails_once(*records: Any) -> None:
            if not failures and isinstance(records[0], CanaryEnd):
                failures.append(1)
                raise OSError("the state is away")
            save(*records)

        monkeypatch.setattr(world.state, "save", fails_once)
        for n in range(8):
            assert client.post("/predict/arrivals", json=asked(worlds, n)).status_code == 200
        until(lambda: bool(failures) and bool(world.state.find(CanaryEnd)))


def test_scores_that_are_not_finite_are_failures(world: Any, worlds: Any) -> None:
    world.declare(canary=Canary(0.999, "flight_id"))
    with serving(worlds, world) as (service, client):
        broken(service, lambda columns: [math.nan] * len(columns["distance"]))
        for n in range(6):
            (answer,) = client.post("/predict/arrivals", json=asked(worlds, n)).json()["predictions"]
            assert answer["score"] == 0.5
    (end,) = world.state.find(CanaryEnd)
    assert "a score is not a finite number" in end.reason


def test_a_request_that_the_canary_fails_leaves_those_that_wait_with_it(world: Any, worlds: Any) -> None:
    world.declare(canary=Canary(0.999, "flight_id"))
    with serving(worlds, world) as (service, client):
        scored = service.live.beside["arrivals"][0].predictor.scored

        def third(columns: Any) -> list[float]:
            given = zip(columns["distance"], scored(columns), strict=True)
            return [math.nan if distance == 3.0 else score for distance, score in given]

        broken(service, third)
        sent = [{"flight_id": f"X{n}", "distance": float(n)} for n in range(6)]
        answers = client.post("/predict/arrivals", json={"rows": sent, "time": worlds.NOON.isoformat()}).json()
        assert [by_challenger(answer) for answer in answers["predictions"]] == [True, True, True, False, True, True]
    assert not world.state.find(CanaryEnd)


def test_a_canary_beyond_the_latency_ends(world: Any, worlds: Any) -> None:
    world.declare(canary=Canary(0.999, "flight_id"), latency="20ms")
    with serving(worlds, world) as (service, client):
        predictor = service.live.beside["arrivals"][0].predictor
        own = predictor.scored

        def slow(columns: Any) -> Any:
            time.sleep(0.05)
            return own(columns)

        broken(service, slow)
        answers = [client.post("/predict/arrivals", json=asked(worlds, n)).json()["predictions"][0] for n in range(8)]
        assert [by_challenger(each) for each in answers] == [True] * 5 + [False] * 3
    (end,) = world.state.find(CanaryEnd)
    assert (end.slow, end.reason) == (5, "of the last 5 requests 5 passed the latency; at most 0.02 of them may")


def test_rare_failures_do_not_end_a_canary() -> None:
    noted = list[str]()
    guard = Guard(Canary(0.1, errors=0.05), "arrivals", "main", "late-2", noted=noted.append)
    for n in range(10 * WINDOW):
        guard.note("slow" if n % 25 == 24 else "answered")  # 4 %
    assert guard.end is None and len(noted) == 10 * WINDOW
    for n in range(WINDOW):
        guard.note("slow" if n % 10 == 9 else "answered")
    assert guard.end is not None and guard.end.requests == WINDOW


def test_a_damaged_challenger_leaves_all_requests_to_the_champion(world: Any, worlds: Any) -> None:
    path = world.root / "models" / "late" / "2" / "manifest.json"
    path.write_bytes(b"{}")
    world.declare(canary=Canary(0.999, "flight_id"))
    with serving(worlds, world) as (_service, client):
        answers = client.post("/predict/arrivals", json=asked(worlds, *range(20))).json()["predictions"]
        assert len(answers) == 20 and not any("canary" in each["flags"] for each in answers)
        trouble = client.get("/ready").json()["challengers"]["arrivals"][0]["trouble"]
    assert trouble["what"] == "the manifest cannot be read"


def test_a_shadow_beside_a_canary_scores_what_the_champion_answered(world: Any, worlds: Any) -> None:
    world.shadowed()
    with serving(worlds, world) as (_service, client):
        answers = client.post("/predict/arrivals", json=asked(worlds, *range(50))).json()["predictions"]
        left = [each["id"] for each in answers if not by_challenger(each)]
        until(lambda: world.store.end("shadows/arrivals") == len(left))
    found = [decode_shadowed(payload).id for _, payload in world.store.entries("shadows/arrivals", 0)]
    assert 0 < len(left) < 50 and found == left


def test_promoting_the_challenger_ends_the_split(world: Any, worlds: Any) -> None:
    with serving(worlds, world) as (service, client):
        world.promote(world.state.get(ModelVersion, "late-2"))
        until(lambda: service.live.predictor("arrivals").version.id == "late-2")
        body = client.post("/predict/arrivals", json=asked(worlds, *range(50))).json()
        assert body["version"] == "late-2" and not any(by_challenger(each) for each in body["predictions"])


def test_a_model_has_one_challenger() -> None:
    from ibis import _

    import mainstem as ms

    rides = ms.stream("rides", schema={"ride": "string", "fare": "float64"}, key="ride", time="at")
    fare = ms.model(examples=rides, prediction_time=_.at, target=_.fare, features=["fare"])
    with pytest.raises(DefinitionError, match="a model has one challenger"):
        ms.endpoint(fare, shadow=[ms.challenger(fare)] * 2)


def test_requests_of_a_canary_that_wait_together_are_read_once(world: Any, worlds: Any) -> None:
    service = world.service()
    service.start()
    split = next(each.split for each in service.live.beside["arrivals"] if each.split is not None)
    champion = service.live.predictor("arrivals")
    reads = list[int]()
    features = champion.features

    def counted(rows: Any, times: Any) -> Any:
        reads.append(len(rows))
        return features(rows, times)

    champion.features = counted  # type: ignore[method-assign]

    async def ask() -> list[Any]:
        waiting = (service.coalescer_of(split.champion).answered(split, rows(n), None) for n in range(60))
        return await asyncio.gather(*waiting)

    found = [answer for answers in asyncio.run(ask()) for answer in answers]
    assert reads == [60]
    assert [answer.row["flight_id"] for answer in found] == [f"X{n}" for n in range(60)]
    for answer in found:
        taken = split.takes(answer.row, answer.id)
        assert (answer.version, "canary" in answer.flags) == (("late-2", True) if taken else ("late-1", False))
        by = split.challenger if taken else split.champion
        assert answer.score == pytest.approx(by.scored({k: [v] for k, v in answer.row.items()})[0])
    assert 5 < sum("canary" in answer.flags for answer in found) < 35
    entries = list(logged_predictions(world.store, "arrivals"))
    assert [(e.id, e.version, e.role) for e in entries] == [(a.id, a.version, a.role) for a in found]
    service.close()
