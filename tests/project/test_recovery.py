"""The online store is lost altogether: what is said meanwhile, and how everything comes back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import StorageError
from mainstem.nodes.base import Node
from mainstem.project.live import service
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

INSTANT = "timestamp('UTC', 6)"
NOON = datetime(2013, 6, 1, 12, tzinfo=UTC)
SCHEMA = {"event": "string", "origin": "string", "delay": "float64", "at": INSTANT}


def nodes() -> dict[str, Node]:
    past = ms.files("past.csv", key="event", time="at")
    departures = ms.stream("departures", schema=SCHEMA, key="event", time="at", history=past)
    return {
        "past": past,
        "departures": departures,
        "airport": ms.feature_view(departures, key="origin", windows=["3h"], n=_.count(), grace="400d"),
        "last": ms.feature_view(past, key="origin", columns=["delay"], grace="400d"),
    }


def event(number: int) -> dict[str, Any]:
    at = NOON - timedelta(minutes=60 - number)
    return {"event": f"E{number}", "origin": "JFK", "delay": float(number), "at": at.isoformat()}


@pytest.fixture(params=["lmdb", "redis"])
def online(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Callable[[], None]]:
    """A profile's store, and how it is lost."""
    if request.param == "lmdb":
        return ".mainstem/online", lambda: shutil.rmtree(tmp_path / ".mainstem/online")
    server = request.getfixturevalue("make_redis")()

    def flush() -> None:
        from redis import Redis

        with Redis.from_url(server.url) as client:
            client.flushall()

    return server.url, flush


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "past.csv").write_text("event,origin,delay,at\nP0,JFK,5,2013-06-01T10:00:00Z\n")
    return tmp_path


@pytest.fixture
def project(root: Path, online: tuple[str, Any]) -> Iterator[ms.Project]:
    settings = Settings(root, ProjectSettings("flights", ()), Profile(online=online[0]), "default", Serve())
    with ms.Project(settings, nodes()) as made:
        made.run()
        made.ingest("departures", [event(n) for n in range(5)], backfill=True)
        made.run()
        made.ingest("departures", [event(n) for n in (5, 6)], backfill=True)
        yield made


def count(project: ms.Project) -> int:
    (row,) = project.online("airport").get([{"origin": "JFK"}], NOON)
    found: int = row["n_3h"]
    return found


def test_a_lost_store_is_told_and_built_anew(project: ms.Project, online: tuple[str, Any]) -> None:
    assert count(project) == 1 + 7
    online[1]()

    with pytest.raises(StorageError, match="the online state of 'airport' is gone from the store") as caught:
        count(project)
    assert caught.value.hint == "mainstem run rebuilds it from the lake"
    with pytest.raises(StorageError, match="gone from the"):
        project.ingest("departures", [event(7)], backfill=True)

    steps = {step.key: step.reason for step in project.plan().steps}
    assert steps.pop("collect past", "") == ""
    assert steps == {
        "drain departures": "its log is gone from the online store",
        "materialise airport": "its online state is gone from the store",
        "materialise last": "its online state is gone from the store",
    }
    project.run()
    assert count(project) == 1 + 5, "what the lake had; what was not drained is lost with the log"
    (row,) = project.online("last").get([{"origin": "JFK"}], NOON)
    assert row["delay"] == 5.0

    assert project.ingest("departures", [event(n) for n in (7, 8)], backfill=True) == 5
    assert count(project) == 1 + 7
    project.run()
    found = project.table("departures").to_pyarrow().sort_by("at")["event"].to_pylist()
    assert found == ["P0", *(f"E{n}" for n in (0, 1, 2, 3, 4, 7, 8))]
    assert not project.plan()


def test_a_server_says_so_meanwhile_and_goes_on_by_itself(project: ms.Project, online: tuple[str, Any]) -> None:
    """Without a restart: no event is taken that would be lost, none gets an offset for the second time."""
    served = service(project)
    served.start()
    reader = served.live.reader()

    def take(*numbers: int) -> int:
        events = served.live.ingest("departures").accept([event(n) for n in numbers], backfill=True)
        first: int = served.committer.submit(served.ingesting("departures", events)).result()
        return first

    def read() -> int:
        vars(served._store)["_look_at"] = 0.0  # half a second later
        rows = served.live.reader().read(["airport"], [{"origin": "JFK", "time": NOON}])
        found: int = rows["airport"][0]["n_3h"]
        return found

    assert take(7) == 7 and read() == 1 + 8
    online[1]()
    with pytest.raises(StorageError):
        take(8)
    with pytest.raises(StorageError):
        read()
    served.refresh()
    assert all("mainstem run" in str(error.hint) for error in served.lost.values()) and served.lost

    with ms.Project(project.settings, nodes()) as other:
        other.run()
    served.refresh()
    assert served.lost == {} and served.trouble is None and served.live.reader() is not reader
    assert take(8) == 5 and read() == 1 + 6
    served.close()
    project.run()
    assert count(project) == 1 + 6


def test_a_server_that_starts_without_its_state_tells_every_request(project: ms.Project, online: Any) -> None:
    online[1]()
    served = service(project)
    served.start()
    assert served.live.release.id == project.release.id
    assert any("is gone from the" in str(error) for error in served.lost.values())
    assert "is gone from the" in str(served.trouble)
    with pytest.raises(StorageError, match="gone from the"):
        served.live.reader().read(["airport"], [{"origin": "JFK"}])
    events = served.live.ingest("departures").accept([event(7)], backfill=True)
    with pytest.raises(StorageError, match="gone from the"):
        served.committer.submit(served.ingesting("departures", events)).result()
    served.close()
    assert project.adapters.store.end("events/departures") == 0
