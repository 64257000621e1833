"""A state that an earlier version has written is upgraded when it is opened.

`revision_0001.sql` is such a state: five published runs on two branches and a failed one, two findings of a change of
units, one of them accepted and verified, and a rollback.
"""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from mainstem.monitoring.verdicts import Verdict
from mainstem.nodes.findings import Finding
from mainstem.nodes.records import Binding, ModelVersion, Release, RunRecord
from mainstem.state.schema import revision
from mainstem.state.sql import SqlState

KEPT = Path(__file__).parent / "revision_0001.sql"


def rows():
    """The tables of the state that is kept: name → rows."""
    with closing(sqlite3.connect(":memory:")) as kept:
        kept.executescript(KEPT.read_text())
        kept.row_factory = sqlite3.Row
        names = ("alembic_version", "branches", "records")
        return {name: [dict(row) for row in kept.execute(f"SELECT * FROM {name}")] for name in names}


@pytest.fixture
def sqlite(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "state.db")) as database:
        database.executescript(KEPT.read_text())
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
def server(postgresql: str):
    """The state as an earlier version has it in PostgreSQL."""
    name = f"t{uuid4().hex}"
    place = postgresql.replace("://", "+psycopg://")
    engine = create_engine(f"{place}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    kept = re.sub(r"INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", "BIGSERIAL PRIMARY KEY", KEPT.read_text())
    engine = create_engine(f"{place}/{name}")
    with engine.begin() as connection:
        for table in re.findall(r"CREATE TABLE (?!sqlite)[^;]*;", kept):
            connection.exec_driver_sql(table)
        for table, found in rows().items():
            columns = ", ".join(found[0])
            values = ", ".join(f":{column}" for column in found[0])
            connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), found)
    engine.dispose()
    return f"{postgresql}/{name}"


@pytest.fixture(params=["sqlite", "server"])
def state(request: pytest.FixtureRequest):
    opened = SqlState(request.getfixturevalue(request.param))
    yield opened
    opened.close()


def test_what_is_kept_is_of_the_first_revision(sqlite: str):
    engine = create_engine(sqlite)
    assert revision(engine) == "0001"
    engine.dispose()


def test_runs_and_releases_read_as_they_were(state: SqlState):
    runs = state.find(RunRecord)
    assert [run.status for run in runs] == ["published"] * 2 + ["failed"] + ["published"] * 3
    assert [run.branch for run in runs] == ["main"] * 5 + ["dev"]
    assert {run.release for run in runs if run.release} < {release.id for release in state.find(Release)}
    heads = state.branches()
    main, dev = (state.get(Release, heads[branch]) for branch in ("main", "dev"))
    assert main is not None and dev is not None
    assert main.tables["predictions.live"].rows == dev.tables["predictions.live"].rows == 4_800
    assert main.endpoints == dev.endpoints == {"live": Binding("lateness-1")}
    assert [version.id for version in state.find(ModelVersion)] == ["lateness-1"]
    assert state.find(Release)[0].endpoints == {}, "nothing was promoted then"


def test_findings_keep_their_ids_and_the_next_ones_go_on_from_there(state: SqlState):
    assert [(f.id, f.state, f.column) for f in state.find(Finding)] == [
        ("F1", "verified", "delay"),
        ("F2", "open", "wind"),
    ]
    assert state.reserve("finding", 2) == 3
    assert state.reserve("another") == 1


def test_a_remedy_has_a_verb(state: SqlState):
    rules = [finding.rule for finding in state.find(Finding)]
    assert [rule.verb.kind for rule in rules if rule] == ["rescale", "rescale"]
    assert rules[0].verb.factor == pytest.approx(1 / 60) and rules[0].place.endswith(".delay")
    assert rules[0].where and rules[0].guard


def test_only_what_published_runs_judged_is_kept(state: SqlState):
    published = {run.id for run in state.find(RunRecord, status="published")}
    verdicts = state.find(Verdict)
    assert [verdict.monitor for verdict in verdicts] == ["drift", "performance", "attribution"]
    assert {verdict.run for verdict in verdicts} <= published
    assert sum(row["kind"] == "Verdict" for row in rows()["records"]) == 5


def test_it_is_upgraded_once(state: SqlState):
    before = state.find(Release)
    state.close()
    assert state.find(Release) == before
    state.save(before[0])
    assert state.find(Release) == before
