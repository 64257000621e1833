"""A shadow scores what the champion answers, and never changes an answer, whatever happens to it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from mainstem.logs.predictions import logged_predictions
from mainstem.logs.shadows import Shadowed, decode_shadowed
from mainstem.nodes.records import InputColumn, ModelVersion
from mainstem.planning.plan import Step
from mainstem.serving.shadows import Shadows

ENDPOINT = Step("drain", "arrivals", "test")


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def asked(worlds: Any, *flights: str, time: str | None = None) -> dict[str, Any]:
    at = time or worlds.NOON.isoformat()
    return {"rows": [{"flight_id": id, "distance": 1.0} for id in flights or ("F1",)], "time": at}


@contextmanager
def serving(worlds: Any, world: Any) -> Iterator[tuple[Any, Any]]:
    service = world.service()
    service.start()
    with worlds.listening(service) as client:
        yield service, client


def scored(world: Any) -> list[Shadowed]:
    return [decode_shadowed(payload) for _, payload in world.store.entries("shadows/arrivals", 0)]


def until(found: Any, seconds: float = 10.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def challenged(worlds: Any, world: Any) -> Any:
    """The world with a champion, a challenger whose scores are higher, and a shadow that is declared."""
    world.shadowed()
    world.promote(worlds.artifact(world.root, 1))
    world.challenge(worlds.artifact(world.root, 2, bias=2.0))
    return world


def test_a_shadow_scores_the_same_rows_and_the_answer_is_the_champions(challenged: Any, worlds: Any) -> None:
    with serving(worlds, challenged) as (_service, client):
        body = client.post("/predict/arrivals", json=asked(worlds, "F1", "X")).json()
        until(lambda: len(scored(challenged)) == 2)
        ready = client.get("/ready").json()
    assert body["version"] == "late-1"
    assert [p["score"] for p in body["predictions"]] == pytest.approx([sigmoid(0.4), 0.5], abs=1e-6)
    found = scored(challenged)
    assert [each.id for each in found] == [p["id"] for p in body["predictions"]]
    assert [each.score for each in found] == pytest.approx([sigmoid(2.4), sigmoid(2.0)], abs=1e-6)
    assert {each.version for each in found} == {"late-2"}
    logged = list(logged_predictions(challenged.store, "arrivals"))
    assert [(each.version, each.role) for each in logged] == [("late-1", "champion")] * 2
    assert ready["challengers"] == {"arrivals": [{"version": "late-2"}]}


def test_the_shadow_decides_by_its_own_score(worlds: Any, challenged: Any) -> None:
    challenged.declare(threshold=0.8)
    with serving(worlds, challenged) as (_service, client):
        body = client.post("/predict/arrivals", json=asked(worlds)).json()
        until(lambda: len(scored(challenged)) == 1)
        metrics = client.get("/metrics").text
    assert body["predictions"][0]["decision"] is False and scored(challenged)[0].decision is True
    assert 'mainstem_shadow_rows_total{endpoint="arrivals",result="scored",version="late-2"} 1.0' in metrics
    assert 'mainstem_challenger_up{endpoint="arrivals",version="late-2"} 1.0' in metrics
    # The shadow is no prediction: it is not counted among them.
    assert 'mainstem_predictions_total{endpoint="arrivals",version="late-2"}' not in metrics
    assert 'mainstem_decisions_total{decision="false",endpoint="arrivals",version="late-1"} 1.0' in metrics


def test_a_shadow_that_throws_is_counted_and_the_answer_stays(
    challenged: Any, worlds: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(worlds, challenged) as (service, client):
        predictor = service.live.beside["arrivals"][0].predictor

        def broken(columns: Any) -> Any:
            raise ZeroDivisionError("no such score")

        predictor.scored = broken
        answers = [client.post("/predict/arrivals", json=asked(worlds)) for _ in range(3)]
        failed = 'mainstem_shadow_rows_total{endpoint="arrivals",result="failed",version="late-2"} 3.0'
        until(lambda: failed in client.get("/metrics").text)
        del predictor.scored
        client.post("/predict/arrivals", json=asked(worlds))
        until(lambda: len(scored(challenged)) == 1)  # the thread goes on
    assert [answer.status_code for answer in answers] == [200] * 3
    assert caplog.text.count("the shadow late-2 cannot score: no such score") == 1


def test_a_slow_shadow_delays_no_answer_and_what_it_cannot_keep_up_with_is_dropped(
    challenged: Any, worlds: Any
) -> None:
    let_go = threading.Event()
    with serving(worlds, challenged) as (service, client):
        service.shadows._room = 4
        predictor = service.live.beside["arrivals"][0].predictor
        own = predictor.scored

        def slow(columns: Any) -> Any:
            assert let_go.wait(30)
            return own(columns)

        predictor.scored = slow
        answers = [client.post("/predict/arrivals", json=asked(worlds, "F1", "F2")) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5 and not scored(challenged)
        dropped = 'mainstem_shadow_rows_total{endpoint="arrivals",result="dropped",version="late-2"} 6.0'
        assert dropped in client.get("/metrics").text
        let_go.set()
        until(lambda: len(scored(challenged)) == 4)


def test_a_log_that_cannot_be_written_is_counted(challenged: Any, worlds: Any) -> None:
    with serving(worlds, challenged) as (service, client):

        def full(work: Any) -> Any:
            raise OSError("no space left on device")

        service.shadows._submit = full
        assert client.post("/predict/arrivals", json=asked(worlds)).status_code == 200
        until(lambda: 'result="failed",version="late-2"} 1.0' in client.get("/metrics").text)


def test_a_damaged_artifact_of_the_challenger_is_said_and_the_champion_answers(
    challenged: Any, worlds: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = challenged.root / "models" / "late" / "2" / "model.onnx"
    path.write_bytes(path.read_bytes()[:-9])
    with serving(worlds, challenged) as (_service, client):
        answer = client.post("/predict/arrivals", json=asked(worlds)).json()
        ready, metrics = client.get("/ready"), client.get("/metrics").text
    assert answer["version"] == "late-1"
    assert ready.status_code == 200
    trouble = ready.json()["challengers"]["arrivals"][0]["trouble"]
    assert trouble["what"] == "the model is not the one its manifest describes"
    assert 'mainstem_challenger_up{endpoint="arrivals",version="late-2"} 0.0' in metrics
    assert "the challenger late-2 cannot be loaded" in caplog.text


def test_without_a_challenger_nothing_happens(world: Any, worlds: Any) -> None:
    world.shadowed()
    world.promote(worlds.artifact(world.root, 1))
    with serving(worlds, world) as (_service, client):
        assert client.post("/predict/arrivals", json=asked(worlds)).status_code == 200
        assert client.get("/ready").json()["challengers"] == {"arrivals": [{"version": None}]}
        assert "mainstem_challenger_up{" not in client.get("/metrics").text
        # A version that a run trains becomes the shadow of the running server.
        world.challenge(worlds.artifact(world.root, 2))
        until(lambda: client.get("/ready").json()["challengers"]["arrivals"][0]["version"] == "late-2")
        client.post("/predict/arrivals", json=asked(worlds))
        until(lambda: len(scored(world)) == 1)
        # It ends when the challenger is promoted.
        world.promote(world.state.get(ModelVersion, "late-2"))
        until(lambda: client.get("/ready").json()["challengers"]["arrivals"][0]["version"] is None)


def test_an_endpoint_without_a_shadow_loads_no_challenger(worlds: Any, world: Any) -> None:
    world.promote(worlds.artifact(world.root, 1))
    world.challenge(worlds.artifact(world.root, 2))
    service = world.service()
    service.start()
    assert service.live.beside == {}
    service.close()


def test_a_run_brings_the_scores_to_the_lake(challenged: Any, worlds: Any) -> None:
    with serving(worlds, challenged) as (_service, client):
        made = client.post("/predict/arrivals", json=asked(worlds, "F1", "F2")).json()["predictions"]
        until(lambda: len(scored(challenged)) == 2)
        challenged.run(ENDPOINT)
        rows = sorted(challenged.rows("shadows.arrivals"), key=lambda row: row["score"])
        assert {row["_id"] for row in rows} == {each["id"] for each in made}
        assert {row["_version"] for row in rows} == {"late-2"} and rows[0]["_logged_at"] is not None
        assert len(challenged.rows("predictions.arrivals")) == 2  # a shadow adds no prediction
        challenged.run(ENDPOINT)
        client.post("/predict/arrivals", json=asked(worlds))
        until(lambda: len(scored(challenged)) == 1)  # the log is trimmed
        challenged.run(ENDPOINT)
    assert len(challenged.rows("shadows.arrivals")) == 3


def test_a_room_that_is_full_drops_and_nothing_waits() -> None:
    counted: list[tuple[str, int]] = []

    class Counts:
        def shadowed(self, endpoint: str, version: str, result: str, rows: int) -> None:
            counted.append((result, rows))

    class Never:
        endpoint, version = "arrivals", "late-2"

    shadows = Shadows(Counts(), lambda work: None, room=1)  # type: ignore[arg-type,return-value]
    shadows.offer(Never(), [object(), object()])  # type: ignore[arg-type,list-item]
    assert counted == [("dropped", 2)]
    shadows.close()


def test_what_many_requests_score_is_logged_in_few_commits(challenged: Any, worlds: Any) -> None:
    with serving(worlds, challenged) as (service, client):
        commits, submit = list[int](), service.shadows._submit

        def counting(work: Any) -> Any:
            commits.append(1)
            return submit(work)

        service.shadows._submit = counting
        ids = [client.post("/predict/arrivals", json=asked(worlds)).json()["predictions"][0]["id"] for _ in range(30)]
        until(lambda: len(scored(challenged)) == 30)
    assert [each.id for each in scored(challenged)] == ids and len(commits) < 15


def test_what_was_scored_is_logged_when_the_server_stops(challenged: Any, worlds: Any) -> None:
    with serving(worlds, challenged) as (_service, client):
        client.post("/predict/arrivals", json=asked(worlds, "F1", "F2"))
    assert len(scored(challenged)) == 2


def test_a_challenger_with_an_input_that_the_project_lacks_is_said(challenged: Any, worlds: Any) -> None:
    version = challenged.state.get(ModelVersion, "late-2")
    gone = replace(version, inputs=(*version.inputs, InputColumn("wind__speed", "float")))
    challenged.challenge(gone)
    with serving(worlds, challenged) as (_service, client):
        assert client.post("/predict/arrivals", json=asked(worlds)).json()["version"] == "late-1"
        trouble = client.get("/ready").json()["challengers"]["arrivals"][0]["trouble"]
    assert (trouble["what"], trouble["got"]) == ("late-2 requires inputs that the project does not have", "wind__speed")
