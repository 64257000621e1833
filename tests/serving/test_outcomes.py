"""Outcomes over HTTP: by the id of a prediction, as a value or as what the target reads; acknowledged means on disk."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from mainstem.planning.plan import Step

_SPEC = importlib.util.spec_from_file_location("crash", Path(__file__).parent / "test_crash.py")
assert _SPEC is not None and _SPEC.loader is not None
crash = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(crash)


def drained(world: Any) -> list[dict[str, Any]]:
    world.run(Step("drain", "arrivals", "test"))
    rows: list[dict[str, Any]] = world.rows("outcomes.arrivals")
    return rows


def test_outcomes_are_values_or_what_the_target_reads(http: Any, served: Any) -> None:
    one = http.post("/outcomes/arrivals", json={"id": "a", "value": True})
    assert (one.status_code, one.json()) == (202, {"endpoint": "arrivals", "accepted": 1, "offset": 0})
    many = {"outcomes": [{"id": "b", "arr_delay": 20.0}, {"id": "c", "arr_delay": 2}, {"id": "a", "value": False}]}
    assert http.post("/outcomes/arrivals", json=many).json()["offset"] == 1
    found = drained(served[0])
    assert [(row["_id"], row["value"], row["_seq"]) for row in found] == [
        ("a", True, 0),
        ("b", True, 1),
        ("c", False, 2),
        ("a", False, 3),
    ]
    assert all(row["_arrived"] is not None for row in found)
    assert 'mainstem_outcomes_total{endpoint="arrivals"} 4.0' in http.get("/metrics").text
    assert "/outcomes/arrivals" in http.get("/openapi.json").json()["paths"]
    assert "/outcomes/arrivals" in http.get("/docs").text
    http.post("/outcomes/arrivals", json={"id": "d", "value": True})
    assert [row["_seq"] for row in drained(served[0])] == [0, 1, 2, 3, 4]


def test_what_is_no_outcome_is_refused_as_a_whole(http: Any, served: Any) -> None:
    def refused(*rows: Any) -> str:
        answer = http.post("/outcomes/arrivals", json=[{"id": "good", "value": True}, *rows])
        assert answer.status_code == 400
        return str(answer.json()["what"])

    assert refused({"value": True}) == "the field 'id' is missing"
    assert refused({"id": "a"}) == "the outcome is missing"
    assert refused({"id": "a", "value": None}) == "the outcome is missing"
    assert refused({"id": "a", "value": 1}) == "the field 'value' has the wrong type or value"
    assert refused({"id": "a", "value": True, "arr_delay": 3.0}) == "an outcome is given twice"
    assert refused({"id": "a", "arr_dely": 3.0}) == "unknown field 'arr_dely'"
    unknown = http.post("/outcomes/arrival", json={"id": "a", "value": True})
    assert unknown.status_code == 404 and "arrivals" in unknown.json()["hint"]
    assert served[0].store.end("outcomes/arrivals") == 0


def test_killed_while_taking_outcomes_every_acknowledged_one_is_there(world: Any) -> None:
    acknowledged: list[str] = []
    with crash.running(world.root) as (process, url), httpx.Client(base_url=url, timeout=10) as client:

        def tell() -> None:
            for number in range(100_000):
                try:
                    answer = client.post("/outcomes/arrivals", json={"id": f"p{number}", "value": number % 2 == 0})
                except httpx.HTTPError:
                    return
                assert answer.status_code == 202
                acknowledged.append(f"p{number}")

        telling = threading.Thread(target=tell)
        telling.start()
        while len(acknowledged) < 50:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
        telling.join()
    stored = [row["_id"] for row in drained(world)]
    assert len(acknowledged) <= len(stored) <= len(acknowledged) + 1
    assert set(acknowledged) <= set(stored) and len(set(stored)) == len(stored)
