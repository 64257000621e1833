"""A whole project whose profile keeps online state and logs on a Redis server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from mainstem.errors import SettingsError, StorageError
from mainstem.nodes.status import StoreStatus
from mainstem.project.live import service

INSTANT = pa.timestamp("us", "UTC")
NOON = datetime(2013, 6, 1, 12, tzinfo=UTC)
FLIGHTS = 600

TOML = """
[project]
name = "{name}"
modules = ["definitions"]

[profile.shared]
online = "${{env:MAINSTEM_TEST_ONLINE}}"
"""

DEFINITIONS = """
import ibis
import mainstem as ms
from ibis import _

past = ms.files("past.parquet", key="event_id", time="departed_at")
departures = ms.stream(
    "departures",
    schema={"event_id": "string", "origin": "string", "delay": "float64", "departed_at": "timestamp('UTC', 6)"},
    key="event_id",
    time="departed_at",
    history=past,
)
flights = ms.files(
    "flights.parquet",
    key="flight_id",
    time="scheduled_at",
    known={"*": _.scheduled_at - ibis.interval(days=30), "late": _.scheduled_at + ibis.interval(hours=9)},
)
leg = ms.feature_view(flights, key="flight_id", columns=["origin", "distance"])
airport = ms.feature_view(departures, key="origin", windows=["3h"], delay=_.delay.mean(), n=_.count(), grace="400d")
late = ms.model(
    examples=flights,
    prediction_time=_.scheduled_at - ibis.interval(hours=1),
    target=_.late,
    features=[leg, airport],
    candidates=["linear"],
    metric="average_precision",
)
arrivals = ms.endpoint(late)
"""


@pytest.fixture
def root(tmp_path: Path, redis_server: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAINSTEM_TEST_ONLINE", redis_server.url)
    random = np.random.default_rng(0)
    delays = random.normal(10, 10, FLIGHTS)
    at = [NOON - timedelta(minutes=30 * (FLIGHTS - n)) for n in range(FLIGHTS)]
    flights = {
        "flight_id": [f"F{n}" for n in range(FLIGHTS)],
        "origin": [("JFK", "LGA")[n % 2] for n in range(FLIGHTS)],
        "distance": random.uniform(100, 3000, FLIGHTS),
        "scheduled_at": pa.array(at, INSTANT),
        "late": delays + random.normal(0, 3, FLIGHTS) > 10,
    }
    before = pa.array([t - timedelta(hours=2) for t in at], INSTANT)
    past = {"event_id": [f"P{n}" for n in range(FLIGHTS)], "origin": flights["origin"], "delay": delays}
    pq.write_table(pa.table(flights), tmp_path / "flights.parquet")
    pq.write_table(pa.table({**past, "departed_at": before}), tmp_path / "past.parquet")
    (tmp_path / "mainstem.toml").write_text(TOML.format(name=tmp_path.name))
    (tmp_path / "definitions.py").write_text(DEFINITIONS)
    return tmp_path


@pytest.fixture
def project(root: Path) -> Iterator[ms.Project]:
    with ms.load(root, profile="shared") as found:
        found.run()
        found.promote("late")
        yield found


def departure(number: int) -> dict[str, Any]:
    at = NOON - timedelta(hours=1, minutes=number)
    return {"event_id": f"E{number}", "origin": "JFK", "delay": 60.0, "departed_at": at}


def logged(project: ms.Project, rows: list[dict[str, Any]]) -> list[Any]:
    """The answers, logged as the server does it."""
    served = service(project)
    served.start()
    predictor = served.live.predictor("arrivals")
    answers = predictor.predict(rows)
    served.committer.submit(predictor.logged(answers)).result()
    served.close()
    return answers


def test_run_ingest_predict_and_parity(project: ms.Project, root: Path) -> None:
    (before,) = project.online("airport").get([{"origin": "JFK"}], NOON)
    assert project.ingest("departures", [departure(n) for n in range(5)], backfill=True) == 0
    (after,) = project.online("airport").get([{"origin": "JFK"}], NOON)
    assert after["n_3h"] == before["n_3h"] + 5 and after["delay_3h"] > before["delay_3h"]

    request = [{"flight_id": f"F{n}", "time": NOON.isoformat()} for n in (FLIGHTS - 1, FLIGHTS - 2, 0)]
    answers = logged(project, [*request, {"flight_id": "unknown", "time": NOON.isoformat()}])
    assert answers[1].features["airport__n_3h"] == after["n_3h"] and answers[3].flags == (
        "unknown:leg",
        "unknown:airport",
    )
    assert [row["score"] for row in project.predict("arrivals", request)] == [a.score for a in answers[:3]]

    project.run()
    assert project.table("departures").to_pyarrow().num_rows == FLIGHTS + 5
    (report,) = project.parity("airport")
    assert report.reads == 4 and report.ok, report.lines()
    assert not (root / ".mainstem/online").exists()
    assert not project.plan()


def test_a_branch_goes_on_from_mains_state_and_leaves_it_alone(project: ms.Project, root: Path) -> None:
    project.ingest("departures", [departure(0)], backfill=True)
    with ms.load(root, profile="shared", branch="dev") as dev:
        assert not dev.adapters.has_store
        assert dev.ingest("departures", [departure(1), departure(2)], backfill=True) == 1
        (there,) = dev.online("airport").get([{"origin": "JFK"}], NOON)
    (here,) = project.online("airport").get([{"origin": "JFK"}], NOON)
    assert there["n_3h"] == here["n_3h"] + 2
    assert project.ingest("departures", [departure(3)], backfill=True) == 1


def test_what_the_store_is_and_what_a_view_takes_up(project: ms.Project, redis_server: Any) -> None:
    online = project.status().online
    durability = "a restart of the server may lose it (appendonly no)"
    assert online == StoreStatus(store=redis_server.url, durability=durability)
    assert project.show("leg").online_bytes > FLIGHTS * 30
    assert project.show("departures").log_bytes is None
    project.ingest("departures", [departure(0)])
    assert project.show("departures").log_bytes > 50 and project.show("arrivals").log_bytes is None


@pytest.mark.parametrize("url", ["mongodb://localhost/x", "redis://localhost:port"])
def test_a_store_that_is_not_understood(root: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTEM_TEST_ONLINE", url)
    with ms.load(root, profile="shared") as project, pytest.raises(SettingsError, match="online store"):
        project.run()


def test_a_server_that_is_not_there(root: Path, free_port: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTEM_TEST_ONLINE", f"redis://:s3cret@127.0.0.1:{free_port()}/0")
    with ms.load(root, profile="shared") as project, pytest.raises(StorageError, match="cannot be reached") as error:
        project.run()
    assert "s3cret" not in str(error.value)


def test_parity_is_watched_from_release_to_release(project: ms.Project) -> None:
    """A report for what each release brings to the lake, and none for what was compared before."""
    request = [{"flight_id": f"F{n}", "time": NOON.isoformat()} for n in range(4)]
    logged(project, request)
    project.run()
    reports = project.watch_parity(None, sample=100, every=0.01)
    first = next(reports)
    assert (first.endpoint, first.reads, first.ok) == ("arrivals", 4, True)
    logged(project, request[:3])
    project.run()
    second = next(reports)
    assert (second.reads, second.ok, second.release) == (3, True, project.release.id)
    served = service(project)
    served.start()
    assert [report.id for report in served.parity()] == [second.id]
    served.close()
