"""Features over HTTP: what views say of keys as it stands online."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

NOON = "2013-12-01T12:00:00Z"


def test_one_row_has_values_and_what_they_are_of(http: Any, served: Any) -> None:
    world, _ = served
    answer = http.post("/features/airport", json={"origin": "JFK", "time": NOON})
    assert answer.status_code == 200
    assert answer.json() == {
        "view": "airport",
        "fingerprint": world.release.fingerprints["airport"],
        "key": {"origin": "JFK"},
        "time": NOON,
        "features": {"delay_1h": 4.0, "departures_1h": 1, "recent_1h": [4.0]},
        "effective": "2013-12-01T11:05:00Z",
        "windows": {"1h": ["2013-12-01T11:00:00Z", NOON]},
        "missing": False,
    }
    assert world.release.fingerprints["airport"] == world.graph["airport"].made_by


def test_many_rows_share_a_time_and_may_have_their_own(http: Any) -> None:
    rows = [{"origin": "JFK"}, {"origin": "XXX"}, {"origin": "JFK", "time": "2013-12-01T12:05:00.000001Z"}]
    body = http.post("/features/airport", json={"rows": rows, "time": NOON}).json()
    assert [row["features"]["departures_1h"] for row in body["rows"]] == [1, 0, 1]
    assert [row["missing"] for row in body["rows"]] == [False, True, False]
    assert body["rows"][2]["windows"] == {"1h": ["2013-12-01T11:05:00Z", "2013-12-01T12:05:00.000001Z"]}
    later = http.post("/features/airport", json=[{"origin": "JFK", "time": "2013-12-01T12:06:00Z"}]).json()
    assert later["rows"][0]["features"]["departures_1h"] == 0 and later["rows"][0]["effective"] is None


def test_several_views_in_one_question(http: Any) -> None:
    asked = {"views": ["leg", "airport"], "rows": [{"flight_id": "F1", "origin": "JFK"}], "time": NOON}
    body = http.post("/features", json=asked).json()
    assert list(body) == ["views"] and list(body["views"]) == ["leg", "airport"]
    (leg,) = body["views"]["leg"]["rows"]
    assert (leg["key"], leg["features"], leg["windows"]) == ({"flight_id": "F1"}, {"origin": "JFK"}, {})
    assert leg["effective"] == "2013-11-01T12:10:00Z"
    (airport,) = body["views"]["airport"]["rows"]
    assert airport["features"]["departures_1h"] == 1
    metrics = http.get("/metrics").text
    assert 'mainstem_feature_rows_total{view="airport"} 1.0' in metrics


def test_events_are_in_the_next_read(http: Any, worlds: Any) -> None:
    assert http.post("/events/departures", json={"events": [worlds.departure(9)], "backfill": True}).status_code == 202
    body = http.post("/features/airport", json={"origin": "JFK", "time": NOON}).json()
    assert body["features"] == {"delay_1h": 7.0, "departures_1h": 2, "recent_1h": [10.0, 4.0]}
    assert body["effective"] == (worlds.NOON - timedelta(minutes=41)).isoformat().replace("+00:00", "Z")


WRONG: list[tuple[str, Any, int, str]] = [
    ("/features/airprot", {"origin": "JFK"}, 404, "unknown feature view 'airprot'"),
    ("/features/airport", {"orgin": "JFK"}, 400, "the field 'origin' is missing"),
    ("/features/airport", {"origin": None}, 400, "the field 'origin' must not be null"),
    ("/features/airport", {"origin": 7}, 400, "the field 'origin' has the wrong type or value"),
    ("/features/airport", {"origin": "JFK", "time": "2013-01-01T00:00:00Z"}, 400, "does not reach back that far"),
    ("/features/airport", {"rows": [{"origin": "JFK"}], "time": "noon"}, 400, "`time` is not an instant"),
    ("/features/airport", [], 400, "the request has no rows"),
    ("/features", {"rows": [{"origin": "JFK"}]}, 400, "`views` is not a list of names"),
    ("/features", {"views": ["airport", "nothing"], "rows": [{"origin": "JFK"}]}, 404, "feature view 'nothing'"),
    ("/features", {"views": ["airport", "leg"], "rows": [{"origin": "JFK"}]}, 400, "'flight_id' is missing"),
]


@pytest.mark.parametrize(("path", "body", "status", "what"), WRONG)
def test_a_bad_question_says_what_is_wrong(http: Any, path: str, body: Any, status: int, what: str) -> None:
    answer = http.post(path, json=body)
    assert answer.status_code == status
    assert what in answer.json()["what"]


def test_before_a_first_run_nothing_is_online(worlds: Any, tmp_path: Any) -> None:
    world = worlds.open_world(tmp_path)
    service = world.service()
    service.start()
    with worlds.listening(service) as client:
        answer = client.post("/features/airport", json={"origin": "JFK"})
    assert answer.status_code == 503
    assert answer.json()["what"] == "the view 'airport' is not online yet" and answer.json()["hint"] == "mainstem run"
    service.close()
    world.close()


def test_the_api_describes_its_views(http: Any) -> None:
    page = http.get("/docs").text
    assert "POST /features/airport" in page and "delay_1h, departures_1h, recent_1h" in page
    paths = http.get("/openapi.json").json()["paths"]
    body = paths["/features/airport"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["oneOf"][0]["required"] == ["origin"] and "/features" in paths
