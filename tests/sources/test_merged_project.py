"""A merged source in a project: tables and views over it, an older release, a span, retries, and a killed run."""

import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import NotFound, RunFailed, SchemaError, SourceUnreachable
from mainstem.settings import Profile, ProjectSettings, Run, Serve, Settings
from mainstem.sources.kinds.database import DatabaseKind

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def change(root: Path, *statements: str) -> None:
    with closing(sqlite3.connect(root / "shop.db", timeout=30)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def at(hour: int) -> str:
    return f"{BEGIN + timedelta(hours=hour):%Y-%m-%d %H:%M:%S}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    change(
        tmp_path,
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, city TEXT, amount INTEGER, updated_at TIMESTAMP)",
        *(f"INSERT INTO orders VALUES ({n}, 'city {n % 3}', {n}, '{at(n)}')" for n in range(10)),
    )
    return tmp_path


def opened(root: Path, retries: int = 0, **more: Any) -> ms.Project:
    settings = {"key": "id", "time": "updated_at", "cursor": "updated_at", "write": "merge", "known": "updated_at"}
    orders = ms.database("sqlite:///shop.db", table="orders", **(settings | more))

    @ms.table(key="city")
    def cities(orders: Any) -> Any:
        return orders.group_by("city").agg(orders=orders.count(), amount=orders.amount.sum())

    order = ms.feature_view(orders, key="id", columns=["amount"])
    nodes = {"orders": orders, "cities": cities, "order": order}
    given = ProjectSettings("shop", ())
    return ms.Project(Settings(root, given, Profile(), "default", Serve(), run=Run(retries=retries)), nodes)


def amounts(project: ms.Project, **as_of: Any) -> dict[int, int]:
    table = project.table("orders")
    rows = (table.as_of(as_of["release"]) if as_of else table).to_pyarrow().to_pylist()
    assert len(rows) == len({row["id"] for row in rows})
    return {row["id"]: row["amount"] for row in rows}


def online(project: ms.Project, id: int) -> Any:
    (row,) = project.online("order").get([{"id": id}], time=BEGIN + timedelta(days=20))
    return row["amount"]


def test_tables_views_and_older_releases_see_the_rows_of_their_time(root: Path) -> None:
    with opened(root) as project:
        first = project.run()
        assert online(project, 3) == 3
        change(root, f"UPDATE orders SET amount = 100, city = 'city 1', updated_at = '{at(20)}' WHERE id = 3")
        record = project.run()
        assert {step.node: step.published for step in record.steps if step.kind == "collect"} == {"orders": 1}
        assert amounts(project) == {**{n: n for n in range(10)}, 3: 100}
        assert amounts(project, release=first.id) == {n: n for n in range(10)}
        totals = {row["city"]: row["amount"] for row in project.table("cities").to_pyarrow().to_pylist()}
        assert totals == {"city 0": 0 + 6 + 9, "city 1": 1 + 4 + 7 + 100, "city 2": 2 + 5 + 8}
    with opened(root) as project:
        assert online(project, 3) == 100


def test_a_view_forgets_a_row_that_was_removed(root: Path) -> None:
    with opened(root) as project:
        project.run()
        change(root, "DELETE FROM orders WHERE id = 3")
        assert project.run("orders+", full_refresh=True).status == "published"
        assert 3 not in amounts(project)
    with opened(root) as project:
        assert online(project, 3) is None


def test_a_full_refresh_and_a_span_read_sources_again(root: Path) -> None:
    with opened(root) as project:
        project.run()
        change(root, "UPDATE orders SET amount = amount + 50")
        span = {"start": "2026-01-01T02:00:00Z", "end": "2026-01-01T04:00:00Z"}
        assert {step.node: step.reason for step in project.plan(**span).steps}["orders"] == "a backfill"
        record = project.run(**span)
        assert record.steps[0].message == "2 merged by id"
        assert amounts(project) == {n: n + 50 * (n in (2, 3)) for n in range(10)} | {9: 9}
        reasons = {step.node: step.reason for step in project.plan(full_refresh=True).steps}
        assert reasons["orders"] == "a full refresh"
        project.run(full_refresh=True)
        assert amounts(project) == {n: n + 50 for n in range(10)}
    with (
        opened(root, cursor="id", write=None) as project,
        pytest.raises(NotFound, match="no selected source has a key"),
    ):
        project.run(start="2026-01-01")


def test_a_mark_that_is_no_condition_is_refused_when_the_project_loads(root: Path) -> None:
    with opened(root, deleted="amount") as project, pytest.raises(SchemaError, match="is not a condition"):
        project.run()


def test_looking_at_a_schema_is_tried_again_as_reading_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    introspect = DatabaseKind.introspect

    def failing(self: Any, *given: Any) -> Any:
        looks.append(1)
        if len(looks) < 3:
            raise SourceUnreachable("the database cannot be reached")
        return introspect(self, *given)

    monkeypatch.setattr(DatabaseKind, "introspect", failing)
    monkeypatch.setattr("mainstem.planning.retries.LONGEST", 0.01)
    with opened(root, retries=1) as project, pytest.raises(SourceUnreachable):
        project.run()
    assert len(looks) == 2
    with opened(root, retries=1) as project:
        project.run()
        assert len(amounts(project)) == 10


# ── a killed run ──────────────────────────────────────────────────────────────────────────────────────

RUN = """
    import sys
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    import test_merged_project
    with test_merged_project.opened(Path(sys.argv[1])) as project:
        print("begun", flush=True)
        project.run("orders")
"""


@pytest.mark.parametrize("moments", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_after_a_kill_at_any_moment_every_row_is_there_once(root: Path, moments: int) -> None:
    script, chance, hour = textwrap.dedent(RUN.format(tests=str(Path(__file__).parent))), random.Random(moments), 30
    with opened(root) as project:
        project.run("orders")
    for _moment in range(moments):
        hour += 1
        new = f"INSERT INTO orders SELECT max(id) + 1, 'new', 0, '{at(hour)}' FROM orders"
        change(root, f"UPDATE orders SET amount = amount + 1, updated_at = '{at(hour)}' WHERE id % 3 = 0", new)
        process = subprocess.Popen([sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        time.sleep(chance.random() * 1.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with opened(root) as project:
            project.run("orders")
            with closing(sqlite3.connect(root / "shop.db")) as connection:
                wanted = dict(connection.execute("SELECT id, amount FROM orders"))
            assert amounts(project) == wanted


def test_a_run_that_fails_is_continued_by_the_next_one(root: Path) -> None:
    with opened(root) as project:
        project.run()
        change(root, "INSERT INTO orders VALUES (77, 'x', 'many', '2026-03-01')")
        with pytest.raises(RunFailed):
            opened(root, contract="freeze").run()
        change(root, "UPDATE orders SET amount = 7 WHERE id = 77")
        project.run()
        assert amounts(project)[77] == 7


def test_a_marked_row_leaves_the_tables_and_the_plan_is_empty_afterwards(root: Path) -> None:
    with opened(root, deleted=_.amount > 90, lag="2h") as project:
        project.run()
        change(root, f"UPDATE orders SET amount = 99, updated_at = '{at(20)}' WHERE id = 3")
        project.run()
        assert sorted(amounts(project)) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
        assert sum(row["orders"] for row in project.table("cities").to_pyarrow().to_pylist()) == 9
        assert not project.plan().steps
        assert project.plan(explain=True).changed == ()
