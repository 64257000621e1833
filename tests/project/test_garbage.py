"""What nobody can see any more, in the online store: runs delete it, and so does `gc`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ibis import _

import mainstem as ms
from mainstem.features.online.view import online_view, space_of
from mainstem.features.retrieval import compiled
from mainstem.features.sweep import sweep
from mainstem.nodes.base import Node
from mainstem.nodes.instants import micros_of
from mainstem.nodes.records import RunRecord, now
from mainstem.ports import Sweep
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

INSTANT = "timestamp('UTC', 6)"
NOON = datetime(2013, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SCHEMA = {"event": "string", "origin": "string", "delay": "float64", "at": INSTANT}


def nodes() -> dict[str, Node]:
    departures = ms.stream("departures", schema=SCHEMA, key="event", time="at")
    return {
        "departures": departures,
        "airport": ms.feature_view(departures, key="origin", windows=["1h"], n=_.count(), grace="1h"),
        "last": ms.feature_view(departures, key="origin", columns=["delay"], ttl="2h", grace="1h"),
    }


def event(number: int, origin: str, at: datetime) -> dict[str, Any]:
    return {"event": f"E{number}", "origin": origin, "delay": float(number), "at": at.isoformat()}


@pytest.fixture(params=["lmdb", "redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = ".mainstem/online" if request.param == "lmdb" else request.getfixturevalue("make_redis")().url
    return Settings(tmp_path, ProjectSettings("flights", ()), Profile(online=url), "default", Serve())


@pytest.fixture
def project(settings: Settings) -> Iterator[ms.Project]:
    """Of fifty airports nothing is heard but on the first day, of two others only on the second."""
    with ms.Project(settings, nodes()) as made:
        made.run()
        made.ingest("departures", [event(n, f"K{n}", NOON) for n in range(50)], backfill=True)
        made.run()
        made.ingest("departures", [event(50, "JFK", NOON + DAY), event(51, "LGA", NOON + DAY)], backfill=True)
        yield made


def records(project: ms.Project, view: str) -> int:
    return project.adapters.store.count(space_of(view, project.release.online[view]))


def seen(project: ms.Project) -> list[Any]:
    rows = project.online("airport", "last").get([{"origin": "JFK"}, {"origin": "K7"}], NOON + DAY + DAY / 48)
    return [(row["airport"]["n_1h"], row["last"]["delay"], row["last"].missing) for row in rows]


def test_a_run_that_takes_in_a_stream_deletes_what_has_expired(project: ms.Project) -> None:
    before = seen(project)
    assert before == [(1, 50.0, False), (0, None, True)]
    assert (records(project, "airport"), records(project, "last")) == (53, 53)
    run = project.run()
    told = {f"{step.kind} {step.node}": step.message for step in run.steps}
    assert told["materialise airport"] == told["materialise last"] == "50 records expired"
    assert (records(project, "airport"), records(project, "last")) == (3, 3) and seen(project) == before


def test_gc_deletes_it_too_and_the_states_of_views_that_are_no_more(project: ms.Project, settings: Settings) -> None:
    before = seen(project)
    assert project.gc() == (0, 0, 100, 0) and seen(project) == before
    assert project.gc() == (0, 0, 0, 0)
    project.ingest("departures", [event(52, "K7", NOON + DAY + DAY / 50)], backfill=True)
    assert seen(project) == [(1, 50.0, False), (1, 52.0, False)]
    last = space_of("last", project.release.online["last"])
    left = nodes()
    del left["last"]
    with ms.Project(settings, left) as fewer:
        assert fewer.gc() == (0, 0, 0, 0), "the release still has it, and a server may read it"
        fewer.run()
        assert fewer.gc() == (0, 0, 0, 1) and fewer.adapters.store.count(last) == 0
        assert fewer.online("airport").get([{"origin": "JFK"}], NOON + DAY + DAY / 48)[0]["n_1h"] == 1


def test_gc_leaves_alone_what_is_online_otherwise_than_it_is_declared_now(
    project: ms.Project, settings: Settings
) -> None:
    """The server reads it by the definition that was published."""
    edited = nodes()
    edited["airport"] = ms.feature_view(edited["departures"], key="origin", windows=["1min"], n=_.count(), grace="1s")
    edited["last"] = ms.feature_view(edited["departures"], key="origin", columns=["event"], ttl="1s", grace="1s")
    before = seen(project)
    with ms.Project(settings, edited) as other:
        assert other.gc() == (0, 0, 0, 0)
    assert seen(project) == before and records(project, "airport") == 53


def test_an_event_of_one_key_years_after_all_others_expires_none_of_theirs(project: ms.Project) -> None:
    before = seen(project)
    project.ingest("departures", [event(60, "K1", datetime.now(UTC))], backfill=True)
    project.run()
    assert seen(project) == before
    project.materialise(rebuild=True)
    assert seen(project) == before


def test_a_view_is_not_swept_while_one_that_uses_it_lags_behind(settings: Settings) -> None:
    """That one has still to ask about the past."""
    declared = nodes()
    airport = declared["airport"]
    declared["busy"] = ms.feature_view(
        declared["departures"], key="event", using=airport, columns=["airport__n_1h"], ttl="90d", grace="90d"
    )
    with ms.Project(settings, declared) as project:
        project.run()
        store, online = project.adapters.store, project.release.online
        airport_state = online_view(compiled(project.graph, "airport"), store, online)
        for n, at in enumerate((NOON, NOON + DAY, NOON + DAY)):
            columns = {name: [value] for name, value in event(n, f"K{n}", at).items()}
            columns |= {"at": [micros_of(at)], "_seq": [n], "_arrived": [micros_of(at)]}
            with store.transaction() as writer:
                writer.append("events/departures", [payload(n, at)])
                airport_state.apply(writer, columns, n + 1)
        assert sweep(project.graph, store, online, ["airport"]) == 0 and records(project, "airport") == 4
        project.run()
        rows = project.online("busy").get([{"event": "E0"}, {"event": "E1"}], NOON + DAY + DAY / 48)
        assert [row["airport__n_1h"] for row in rows] == [0, 0]
        assert records(project, "airport") == 3, "the run that brought it along swept both"


def payload(number: int, at: datetime) -> bytes:
    row = event(number, f"K{number}", at) | {"at": micros_of(at)}
    return msgspec.msgpack.encode({"arrived": micros_of(at), "row": row})


def test_what_a_run_of_more_than_a_day_has_made_stays(project: ms.Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run()
    state, asked = project.adapters.state, dict[str, Any]()
    state.save(RunRecord("run-x", "main", "running", started_at=now() - timedelta(hours=30)))

    def swept(lake: Any, keep: Any, **given: Any) -> Sweep:
        asked.update(given)
        return Sweep(0, 0)

    monkeypatch.setattr(type(project.adapters.lake), "sweep", swept)
    with state.hold("main", "a backfill"):
        project.gc()
    assert "run-x" not in asked["unpinned"] and asked["older_than_hours"] > 30 and not asked["drop"]
    project.gc()
    assert "run-x" in asked["unpinned"] and asked["older_than_hours"] == 24 and asked["drop"]


def test_there_may_be_no_store_yet(settings: Settings) -> None:
    with ms.Project(settings, nodes()) as project:
        assert project.gc() == (0, 0, 0, 0)
