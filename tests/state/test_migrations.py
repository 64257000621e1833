"""States that earlier versions wrote, upgraded when they are opened; `states/REVISION.sql` are dumps of real ones."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from mainstem.monitoring.verdicts import Verdict
from mainstem.nodes.findings import Finding, Rule
from mainstem.nodes.records import Binding, ModelVersion, Release, RunRecord
from mainstem.nodes.verbs import Rescale
from mainstem.state.schema import REVISION
from mainstem.state.sql import SqlState

STATES = Path(__file__).parent / "states"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A project's state from before endpoints were bound to several versions."""
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.executescript((STATES / "0001.sql").read_text())
    connection.close()
    return f"sqlite:///{tmp_path}/state.db"


def test_an_older_state_is_upgraded_when_it_is_opened(url: str) -> None:
    state = SqlState(url)
    promoted = state.get(Release, state.head("main") or "")
    assert promoted is not None and promoted.endpoints == {"desk": Binding("buys-1")}
    assert promoted.champion("desk") == "buys-1" and promoted.champion("nowhere") is None
    first = state.get(Release, promoted.parent or "")
    assert first is not None and first.endpoints == {} and first.tables["offers"].rows == 400
    (run,) = state.find(RunRecord)
    assert run.status == "published" and [step.interval for step in run.steps] == [None, None]
    (version,) = state.find(ModelVersion)
    assert version.id == "buys-1" and version.metrics
    with create_engine(url).connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == REVISION


def test_findings_stay_and_their_numbers_go_on(url: str) -> None:
    state = SqlState(url)
    one, two = state.find(Finding)
    assert (one.id, one.state, one.node, one.column) == ("F1", "accepted", "offers", "price")
    where, guard = "at >= TIMESTAMPTZ '2026-01-10 00:00:00+00'", "median(price) BETWEEN 1 AND 40"
    assert one.rule == Rule("offers", Rescale("price", 1 / 60), where, guard)
    assert one.promised is not None and one.promised.after == 0.5
    assert one.window[1] - one.window[0] == timedelta(days=2) and two.harmless
    assert state.reserve("finding") == 3


def test_only_published_runs_keep_their_verdicts(url: str) -> None:
    body = '\'{"id":"vdt-2","run":"run-that-failed"}\''
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO records (kind, id, body) VALUES ('Verdict', 'vdt-2', {body})")
    engine.dispose()
    assert [verdict.id for verdict in SqlState(url).find(Verdict)] == ["vdt-1"]
