"""The API over real HTTP: a uvicorn server on loopback, LMDB, ONNX Runtime."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mainstem.errors import StorageError
from mainstem.logs.predictions import logged_predictions
from mainstem.logs.records import decode_event
from mainstem.models.artifact.scorer import Scorer
from mainstem.nodes.parity import FeatureParity, ParityReport
from mainstem.serving.keys import create, revoke


def at(worlds: Any, minutes: int = 0) -> str:
    return str((worlds.NOON + timedelta(minutes=minutes)).isoformat())


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_one_row_in_one_prediction_out_with_version_and_features(http: Any, worlds: Any) -> None:
    answer = http.post("/predict/arrivals", json={"flight_id": "F1", "distance": 1, "time": at(worlds)})
    assert answer.status_code == 200
    body = answer.json()
    assert body["score"] == pytest.approx(sigmoid(0.1 * 4.0), abs=1e-6)
    assert body["version"] == "late-1"
    assert body["time"] == "2013-12-01T12:00:00Z"
    assert body["features"] == {
        "leg__origin": "JFK",
        "airport__delay_1h": 4.0,
        "airport__departures_1h": 1,
        "airport__recent_1h": [4.0],
        "busy": False,
        "newest": 4.0,
        "distance": 1.0,
    }
    assert "flags" not in body


def test_events_change_the_next_prediction(http: Any, worlds: Any) -> None:
    events = [worlds.departure(n) for n in range(3)]
    taken = http.post("/events/departures", json={"events": events, "backfill": True})
    assert (taken.status_code, taken.json()) == (202, {"stream": "departures", "accepted": 3, "offset": 0})
    body = http.post("/predict/arrivals", json={"flight_id": "F1", "distance": None, "time": at(worlds)}).json()
    assert body["features"]["airport__delay_1h"] == 8.5
    assert body["score"] == pytest.approx(sigmoid(0.85 + 1), abs=1e-6)


def test_an_event_that_arrived_later_is_not_seen_by_a_prediction_of_then(http: Any, worlds: Any) -> None:
    assert http.post("/events/departures", json=worlds.departure(0)).status_code == 202
    body = http.post("/predict/arrivals", json={"flight_id": "F1", "distance": 1, "time": at(worlds)}).json()
    assert body["features"]["airport__departures_1h"] == 1


def test_many_rows_share_a_time_and_may_have_their_own(http: Any, worlds: Any) -> None:
    rows = [{"flight_id": f"F{n}", "distance": 1.0} for n in range(3)]
    rows[2]["time"] = at(worlds, 90)
    body = http.post("/predict/arrivals", json={"rows": rows, "time": at(worlds)}).json()
    assert [p["features"]["airport__departures_1h"] for p in body["predictions"]] == [1, 1, 0]
    assert [p["time"] for p in body["predictions"]] == ["2013-12-01T12:00:00Z"] * 2 + ["2013-12-01T13:30:00Z"]
    assert body["version"] == "late-1"
    assert len(http.post("/predict/arrivals", json=rows * 50).json()["predictions"]) == 150


def test_an_unknown_entity_gets_defaults_and_a_flag(http: Any, worlds: Any) -> None:
    body = http.post("/predict/arrivals", json={"flight_id": "X", "distance": 1, "time": at(worlds)}).json()
    assert body["flags"] == ["unknown:leg", "unknown:airport"]
    assert body["features"]["leg__origin"] is None
    assert body["features"]["airport__departures_1h"] == 0
    assert body["score"] == pytest.approx(0.5)


def test_predictions_are_in_the_log_when_they_are_answered(http: Any, served: Any, worlds: Any) -> None:
    world, _ = served
    body = http.post("/predict/arrivals", json={"flight_id": "X", "distance": 1, "time": at(worlds)}).json()
    (logged,) = logged_predictions(world.store, "arrivals")
    assert (logged.id, logged.version, logged.flags) == (body["id"], "late-1", "unknown:leg,unknown:airport")
    assert logged.row["flight_id"] == "X" and logged.row["airport__departures_1h"] == 0
    assert logged.score == body["score"]
    assert (logged.scores, logged.decision, logged.role) == ({}, None, "champion")


def test_a_decision_and_the_scores_of_all_classes_are_logged(worlds: Any, tmp_path: Path) -> None:
    world = worlds.begun(tmp_path, threshold=0.4)
    world.promote(worlds.artifact(tmp_path, 1))
    service = world.service()
    service.start()
    predictor = service.live.predictor("arrivals")
    rows = [{"flight_id": "F0", "distance": 1.0, "time": at(worlds)}]
    classes = {"early": 0.125, "late": 0.625, "on time": 0.25}
    several = Scorer.load(tmp_path / worlds.artifact(tmp_path, 2, classes=classes).artifact)
    for scorer in (predictor.scorer, several):
        predictor.scorer = scorer
        with world.store.transaction() as writer:
            predictor.logged(predictor.predict(rows))(writer)
    first, second = logged_predictions(world.store, "arrivals")
    assert (first.decision, first.scores) == (first.score >= 0.4, {}) and first.role == second.role == "champion"
    assert (second.score, second.scores) == (0.625, classes)
    service.close()
    world.close()


def test_decisions_are_counted_by_option(http: Any, worlds: Any, tmp_path: Path) -> None:
    asked = {"rows": [{"flight_id": id, "distance": 1} for id in ("F1", "F2", "unknown")], "time": at(worlds)}
    assert http.post("/predict/arrivals", json=asked).status_code == 200
    assert "mainstem_decisions_total{" not in http.get("/metrics").text  # it has no threshold
    world = worlds.begun(tmp_path, threshold=0.55)
    world.promote(worlds.artifact(tmp_path, 1))
    service = world.service()
    service.start()
    with worlds.listening(service) as client:
        answers = client.post("/predict/arrivals", json=asked).json()["predictions"]
        assert [answer["decision"] for answer in answers] == [True, True, False]
        metrics = client.get("/metrics").text
    for decision, count in (("true", 2.0), ("false", 1.0)):
        labels = f'{{decision="{decision}",endpoint="arrivals",version="late-1"}}'
        assert f"mainstem_decisions_total{labels} {count}" in metrics
    service.close()
    world.close()


BAD_PREDICTIONS: list[tuple[Any, str, str]] = [
    ({"distance": 1}, "the field 'flight_id' is missing", "endpoint arrivals, rows[0]"),
    ({"flight_id": None, "distance": 1}, "the field 'flight_id' must not be null", "endpoint arrivals, rows[0]"),
    ({"flight_id": "F", "distance": "far"}, "the field 'distance'", "endpoint arrivals, rows[0].distance"),
    ({"flight_id": "F", "distance": 1, "colour": 2}, "unknown field 'colour'", "endpoint arrivals, rows[0]"),
    ({"flight_id": "F", "distance": 1, "time": "2013-12-01T10:00:00"}, "the field 'time'", "rows[0].time"),
    ([{"flight_id": "F", "distance": 1}, 7], "a row is not a JSON object", "endpoint arrivals, rows[1]"),
    ([], "the request has no rows", "endpoint arrivals"),
    ({"rows": [{"flight_id": "F", "distance": 1}], "when": 1}, "unknown option 'when'", "endpoint arrivals"),
    ({"rows": [{"flight_id": "F", "distance": 1}], "time": "noon"}, "`time` is not an instant", "endpoint arrivals"),
    ({"flight_id": "F", "distance": 1, "time": "2013-01-01T10:00:00Z"}, "does not reach back that far", ""),
]


@pytest.mark.parametrize(("body", "what", "where"), BAD_PREDICTIONS)
def test_a_bad_prediction_request_says_what_and_where(http: Any, body: Any, what: str, where: str) -> None:
    answer = http.post("/predict/arrivals", json=body)
    assert answer.status_code == 400
    error = answer.json()
    assert error["error"] == "RequestError"
    assert what in error["what"]
    assert where in error.get("where", "")


def test_all_events_of_a_request_are_taken_or_none(http: Any, served: Any, worlds: Any) -> None:
    world, _ = served
    bad = {**worlds.departure(1), "dep_delay": "ten"}
    answer = http.post("/events/departures", json=[worlds.departure(0), bad])
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "RequestError",
        "what": "the field 'dep_delay' has the wrong type or value",
        "where": "stream departures, events[1].dep_delay",
        "got": "'ten'",
        "expected": "a finite number",
        "hint": "send null if it is not known",
    }
    assert world.store.end("events/departures") == 0


def test_an_event_before_the_cutover_is_refused(http: Any, worlds: Any) -> None:
    early = {**worlds.departure(0), "departed_at": "2013-12-01T11:05:00Z"}
    answer = http.post("/events/departures", json=early)
    assert answer.status_code == 400
    assert "before the stream's cutover" in answer.json()["what"]
    assert answer.json()["expected"] == "at or after 2013-12-01T11:05:00.000001+00:00"


def test_an_event_without_a_time_or_with_a_naive_one_is_refused(http: Any, worlds: Any) -> None:
    for instant in (None, "2013-12-01T11:30:00"):
        answer = http.post("/events/departures", json={**worlds.departure(0), "departed_at": instant})
        assert answer.status_code == 400
        assert "departed_at" in answer.json()["what"]


JSON_TYPE = {"content-type": "application/json"}

BAD_HTTP: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("POST", "/predict/arivals", {"json": {}}, 404, "unknown endpoint 'arivals'"),
    ("POST", "/events/nothing", {"json": {}}, 404, "unknown stream 'nothing'"),
    ("GET", "/nowhere", {}, 404, "unknown path /nowhere"),
    ("POST", "/", {"json": {}}, 404, "unknown path /"),
    ("GET", "/predict/arrivals/deep", {}, 404, "unknown path /predict/arrivals/deep"),
    ("GET", "/predict/arrivals", {}, 405, "/predict/arrivals does not support GET"),
    ("DELETE", "/health", {}, 405, "/health does not support DELETE"),
    ("POST", "/predict/arrivals", {"content": b"{", "headers": JSON_TYPE}, 400, "the body is not JSON"),
    ("POST", "/predict/arrivals", {"content": b"\xff", "headers": JSON_TYPE}, 400, "the body is not JSON"),
    ("POST", "/predict/arrivals", {"content": b"[" * 100_000, "headers": JSON_TYPE}, 400, "the body is not JSON"),
    ("POST", "/predict/arrivals", {"content": b"NaN", "headers": JSON_TYPE}, 400, "the body is not JSON"),
    ("POST", "/predict/arrivals", {"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, "JSON"),
    ("POST", "/predict/arrivals", {"content": b"x" * 5_000_000, "headers": JSON_TYPE}, 413, "the body is too large"),
    ("POST", "/events/departures", {"json": [1] * 10_001}, 413, "the request has too many rows"),
    (
        "POST",
        "/events/departures",
        {"json": {"events": [{}], "backfill": "yes"}},
        400,
        "`backfill` must be",
    ),
    ("GET", "/health", {"headers": {"host": "evil.example"}}, 403, "without API keys only this machine is answered"),
]


@pytest.mark.parametrize(("method", "path", "more", "status", "what"), BAD_HTTP)
def test_a_bad_request_gets_its_status_and_one_clear_error(
    http: Any, method: str, path: str, more: dict[str, Any], status: int, what: str
) -> None:
    answer = http.request(method, path, **more)
    assert answer.status_code == status
    assert what in answer.json()["what"]
    assert answer.headers["content-type"] == "application/json"
    if status == 405:
        assert answer.headers["allow"]


def test_a_close_match_is_guessed(http: Any) -> None:
    assert http.post("/predict/arivals", json={}).json()["hint"] == "did you mean 'arrivals'?"


def test_a_body_in_chunks_is_bounded_too(http: Any) -> None:
    chunks = (b"x" * 1_000_000 for _ in range(6))
    answer = http.post("/predict/arrivals", content=chunks, headers=JSON_TYPE)
    assert answer.status_code == 413


def test_the_newest_parity_report_is_a_metric(http: Any, served: tuple[Any, Any], worlds: Any) -> None:
    world, _ = served
    for equal, at in ((1, worlds.NOON), (3, worlds.NOON + timedelta(hours=1))):
        delay = FeatureParity("airport__delay_1h", 4, equal, different=4 - equal, causes={"late event": 4 - equal})
        world.state.save(ParityReport("arrivals", "main", "-", 4, (delay,), at=at))
    metrics = http.get("/metrics").text
    of = 'mainstem_parity_reads{endpoint="arrivals",feature="airport__delay_1h",result='
    assert of + '"equal"} 3.0' in metrics and of + '"different"} 1.0' in metrics and of + '"missing"} 0.0' in metrics
    assert f'mainstem_parity_timestamp_seconds{{endpoint="arrivals"}} {worlds.NOON.timestamp() + 3600:.8g}' in metrics


def test_answers_within_a_declared_latency_are_counted(http: Any, served: Any, worlds: Any) -> None:
    _, service = served
    row = {"flight_id": "F1", "distance": 1, "time": at(worlds)}
    http.post("/predict/arrivals", json=row)
    assert "mainstem_latency_kept_total{" not in http.get("/metrics").text
    for budget in (60.0, 60.0, 1e-6):
        service.live.predictor("arrivals").budget = budget
        assert http.post("/predict/arrivals", json=row).status_code == 200
    metrics = http.get("/metrics").text
    assert 'mainstem_latency_kept_total{endpoint="arrivals",kept="yes"} 2.0' in metrics
    assert 'mainstem_latency_kept_total{endpoint="arrivals",kept="no"} 1.0' in metrics


def test_health_ready_metrics_docs(http: Any, worlds: Any) -> None:
    assert http.get("/health").json() == {"status": "ok"}
    ready = http.get("/ready")
    assert ready.status_code == 200
    assert ready.json()["endpoints"] == {"arrivals": "late-1"}
    http.post("/predict/arrivals", json={"flight_id": "X", "distance": 1, "time": at(worlds)})
    http.post("/events/departures", json=worlds.departure(0))
    metrics = http.get("/metrics").text
    assert 'mainstem_predictions_total{endpoint="arrivals",version="late-1"} 1.0' in metrics
    assert 'mainstem_unknown_entities_total{endpoint="arrivals"} 1.0' in metrics
    assert 'mainstem_events_total{stream="departures"} 1.0' in metrics
    assert 'mainstem_requests_total{method="POST",path="/predict/NAME",status="200"} 1.0' in metrics
    docs = http.get("/docs")
    assert docs.headers["content-type"].startswith("text/html")
    assert "POST /predict/arrivals" in docs.text and "flight_id" in docs.text and "Will it be late?" in docs.text
    assert "http://" not in docs.text.replace(f"http://{http.base_url.host}", "")


def test_openapi_describes_rows_as_they_are_checked(http: Any) -> None:
    document = http.get("/openapi.json").json()
    content = document["paths"]["/predict/arrivals"]["post"]["requestBody"]["content"]["application/json"]
    row = content["schema"]["oneOf"][0]
    assert row["required"] == ["flight_id", "distance"]
    assert row["properties"]["flight_id"] == {"type": "string"}
    assert row["properties"]["distance"] == {"type": ["number", "null"]}
    assert row["properties"]["time"] == {"type": ["string", "null"], "format": "date-time"}
    assert "/events/departures" in document["paths"]


def test_head_is_get_without_a_body(http: Any) -> None:
    answer = http.head("/health")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "15"


def eventually(check: Any, seconds: float = 10.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := check()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def test_what_another_process_promotes_is_served_without_a_restart(http: Any, served: Any, worlds: Any) -> None:
    world, _ = served
    world.promote(worlds.artifact(world.root, 2, bias=2.0))
    row = {"flight_id": "X", "distance": 1, "time": at(worlds)}
    assert eventually(lambda: http.post("/predict/arrivals", json=row).json()["version"] == "late-2")
    assert http.post("/predict/arrivals", json=row).json()["score"] == pytest.approx(sigmoid(2.0), abs=1e-6)


def test_a_release_that_cannot_be_loaded_leaves_the_old_one_answering(http: Any, served: Any, worlds: Any) -> None:
    world, _ = served
    broken = worlds.artifact(world.root, 2)
    (world.root / broken.artifact / "model.onnx").write_bytes(b"cut off")
    world.promote(broken)
    row = {"flight_id": "X", "distance": 1, "time": at(worlds)}
    assert eventually(lambda: "trouble" in http.get("/ready").json())
    assert http.post("/predict/arrivals", json=row).json()["version"] == "late-1"
    assert http.get("/ready").json()["trouble"]["error"] == "ModelError"


def test_the_trouble_of_a_state_that_was_away_ends_with_it(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, service = served

    def away(*given: Any) -> Any:
        raise StorageError("the state is away")

    with monkeypatch.context() as patched:
        patched.setattr(service.canaries, "follow", away)
        service.refresh()
        service.refresh()
        assert service.trouble is not None and "the state is away" in str(service.trouble)
    service.refresh()
    assert service.trouble is None


def test_without_a_champion_it_says_promote_first(world: Any, worlds: Any) -> None:
    with worlds.listening(world.service()) as client:
        answer = client.post("/predict/arrivals", json={})
        assert answer.status_code == 503
        assert answer.json()["what"] == "the endpoint 'arrivals' has no champion yet"
        assert "mainstem promote late" in answer.json()["hint"]
        assert client.post("/events/departures", json=worlds.departure(0)).status_code == 202
        assert "no champion yet" in client.get("/docs").text


def test_before_the_first_run_nothing_is_ready_and_no_event_is_taken(tmp_path: Any, worlds: Any) -> None:
    world = worlds.open_world(tmp_path)
    with worlds.listening(world.service()) as client:
        assert client.get("/ready").status_code == 503
        assert client.get("/health").status_code == 200
        answer = client.post("/events/departures", json=worlds.departure(0))
        assert (answer.status_code, answer.json()["hint"]) == (503, "mainstem run")
    world.close()


def test_keys_have_scopes(http: Any, served: Any, worlds: Any) -> None:
    world, _ = served
    predict, ingest = create(world.state, "display", ["predict"]), create(world.state, "feed", ["ingest"])
    assert eventually(lambda: http.get("/metrics").status_code == 401)
    row = {"flight_id": "X", "distance": 1, "time": at(worlds)}
    bearer = {"authorization": f"Bearer {predict}"}
    assert http.post("/predict/arrivals", json=row, headers=bearer).status_code == 200
    answer = http.post("/events/departures", json=worlds.departure(0), headers=bearer)
    assert (answer.status_code, answer.json()["expected"]) == (403, "the scope 'ingest'")
    answer = http.post("/features/airport", json={"origin": "JFK"}, headers=bearer)
    assert (answer.status_code, answer.json()["expected"]) == (403, "the scope 'read'")
    other = {"authorization": f"Bearer {ingest}"}  # made after the other: it may count a moment later
    events = worlds.departure(0)
    assert eventually(lambda: http.post("/events/departures", json=events, headers=other).status_code == 202)
    assert http.post("/predict/arrivals", json=row, headers={"authorization": "Bearer ms_x_y"}).status_code == 401
    assert http.get("/health").status_code == 200
    revoke(world.state, "display")
    assert eventually(lambda: http.post("/predict/arrivals", json=row, headers=bearer).status_code == 401)


def test_a_browser_asks_for_the_key(http: Any, served: Any) -> None:
    world, _ = served
    reader = create(world.state, "reader", ["read"])
    answer = eventually(lambda: (found := http.get("/docs")).status_code == 401 and found)
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert http.get("/docs", auth=("anybody", reader)).status_code == 200


def test_events_in_the_log_are_those_that_were_sent(http: Any, served: Any, worlds: Any) -> None:
    world, _ = served
    http.post("/events/departures", json={"events": [worlds.departure(0)], "backfill": True})
    ((offset, payload),) = world.store.entries("events/departures", 0)
    event = decode_event(payload)
    assert (offset, event.row["flight_id"], event.arrived) == (0, "E0", event.row["departed_at"])
