"""A plan says why each step is due, shows what was edited, and which columns that reaches; and it writes nothing."""

from __future__ import annotations

import hashlib
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mainstem as ms
from mainstem.cli.app import app
from mainstem.nodes.changes import Changed

BODY = """
    import ibis
    import mainstem as ms
    from ibis import _

    flights = ms.files("data/*.csv", key="id", time="at", known={"*": "at"})

    LIMIT = 10

    @ms.table(key="id", time="at")
    def legs(flights):
        "Every leg."
        return flights.mutate(late=flights.arr_delay > 15, early=flights.dep_delay < LIMIT)

    @ms.table
    def shares(legs):
        return legs.group_by("origin").aggregate(legs=legs.count(), late=legs.late.mean())

    @ms.table
    def delays(legs):
        return legs.select("id", "dep_delay")

    airport = ms.feature_view(legs, key="origin", windows=["1d"], late=_.late.mean(), n=_.count())
"""
DAYS = "select origin, count(*) filter (late) as lates, max(dep_delay) as worst from legs group by origin\n"
ROWS = "id,origin,dep_delay,arr_delay,at\n" + "".join(
    f"{i},{'JFK' if i % 2 else 'LGA'},{i % 30},{i % 40},2013-01-{1 + i % 28:02d}T00:00:00Z\n" for i in range(60)
)

Edit = Callable[[str, str], ms.Project]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in (
        ("mainstem.toml", '[project]\nname = "explained"\nmodules = ["explained"]\n'),
        ("data/flights.csv", ROWS),
        ("explained.py", textwrap.dedent(BODY)),
        ("sql/days.sql", DAYS),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def load(root: Path) -> Callable[[], ms.Project]:
    """Load the project as its files are now."""

    def loaded() -> ms.Project:
        sys.modules.pop("explained", None)
        return ms.load(root)

    return loaded


@pytest.fixture
def edit(root: Path, load: Callable[[], ms.Project]) -> Edit:
    """Run the project, replace a text in its files, and load it again."""

    def edited(old: str, new: str) -> ms.Project:
        with load() as project:
            project.run()
        for path in (root / "explained.py", root / "sql" / "days.sql"):
            path.write_text(path.read_text().replace(old, new))
        return load()

    return edited


def reasons(project: ms.Project) -> dict[str, str]:
    return {step.node: step.reason for step in project.plan().steps}


def only(project: ms.Project) -> Changed:
    (changed,) = project.plan(explain=True).changed
    return changed


def reached(changed: Changed) -> dict[str, tuple[str, ...] | str]:
    return {each.node: "all" if each.rows else each.columns for each in changed.reaches}


def test_a_step_downstream_names_the_node_that_changed(edit: Edit) -> None:
    with edit("arr_delay > 15", "arr_delay > 20") as project:
        told = reasons(project)
        assert told.pop("legs") == "its definition changed"
        assert told == dict.fromkeys(("shares", "delays", "days", "airport"), "legs changed (definition)")


def test_the_changed_node_shows_its_text_and_the_columns_that_it_reaches(edit: Edit) -> None:
    with edit("arr_delay > 15", "arr_delay > 20") as project:
        changed = only(project)
    lines = [line for line in changed.diff if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert changed.diff[:2] == ("--- legs, as published", "+++ legs, as declared")
    assert [line[:1] for line in lines] == ["-", "+"] and "> 15" in lines[0] and "> 20" in lines[1]
    assert (changed.columns, changed.rows) == (("late",), False)
    assert reached(changed) == {"shares": ("late",), "days": ("lates",), "airport": ("late_1d",)}


def test_a_change_that_comes_by_two_ways_is_one_cause(edit: Edit, root: Path) -> None:
    diamond = """
@ms.table
def both(legs, shares):
    return legs.left_join(shares, "origin").select("id", share="late_right")
"""
    (root / "explained.py").write_text((root / "explained.py").read_text() + diamond)
    with edit("arr_delay > 15", "arr_delay > 20") as project:
        assert reasons(project)["both"] == "legs changed (definition)"
        assert only(project).node == "legs"


def test_a_change_of_rows_reaches_every_column(edit: Edit) -> None:
    with edit("return flights.mutate", "return flights.filter(flights.arr_delay > 3).mutate") as project:
        changed = only(project)
    assert changed.rows and reached(changed) == dict.fromkeys(("shares", "days", "airport", "delays"), "all")


def test_a_change_of_sql_shows_its_text(edit: Edit) -> None:
    with edit("max(dep_delay)", "min(dep_delay)") as project:
        changed = only(project)
        assert reasons(project) == {"days": "its definition changed"}
    assert any(line.startswith("+select") and "min(dep_delay)" in line for line in changed.diff)
    assert (changed.columns, changed.rows, changed.reaches) == (("worst",), False, ())


def test_a_constant_outside_the_function_is_told_without_a_diff(edit: Edit) -> None:
    with edit("LIMIT = 10", "LIMIT = 11") as project:
        changed = only(project)
        assert reasons(project)["legs"] == "its definition changed"
    assert changed.diff == () and "a constant" in changed.note and changed.columns == ("early",)
    assert reached(changed) == {}


def test_what_becomes_known_otherwise_is_the_sources_change(edit: Edit) -> None:
    with edit('known={"*": "at"}', 'known={"*": "at", "arr_delay": _.at + ibis.interval(hours=1)}') as project:
        told, changed = reasons(project), only(project)
    assert set(told.values()) == {"flights changed (definition)"} and "flights" not in told
    assert changed.node == "flights" and any("+known.arr_delay" in line for line in changed.diff)
    with project:
        project.run()
        assert not project.plan()


def test_a_change_and_its_way_back_leave_nothing_to_do(edit: Edit, load: Callable[[], ms.Project], root: Path) -> None:
    with edit("arr_delay > 15", "arr_delay > 20") as project:
        project.run()
    (root / "explained.py").write_text((root / "explained.py").read_text().replace("> 20", "> 15"))
    with load() as project:
        assert only(project).columns == ("late",)
        project.run()
        assert not project.plan()


def test_new_data_is_said_to_be_new_data(edit: Edit, root: Path) -> None:
    with edit("", "") as project:
        (root / "data" / "more.csv").write_text("id,origin,dep_delay,arr_delay,at\n900,JFK,1,1,2013-03-01T00:00:00Z\n")
        told = reasons(project)
        assert told["flights"] == "the source has changed" and told["legs"] == "input flights has new data"
        assert told["shares"] == "input legs may have new data"
        assert project.plan(explain=True).changed == ()
        project.run("flights")
        assert reasons(project)["legs"] == "input flights has new data"


def test_what_an_earlier_version_published_is_said_to_be_unknown(edit: Edit) -> None:
    with edit("arr_delay > 15", "arr_delay > 20") as project:
        from sqlalchemy import text

        with project.adapters.state._connect().begin() as connection:
            connection.execute(text("DELETE FROM records WHERE kind = 'Written'"))
        assert reasons(project)["legs"] == "its definition, or that of an input, changed"
        assert "was not kept" in project.plan(explain=True).changed[0].note


def test_a_plan_shows_the_diff_on_the_command_line(edit: Edit, root: Path) -> None:
    with edit("arr_delay > 15", "arr_delay > 20"):
        pass
    sys.modules.pop("explained", None)
    shown = CliRunner().invoke(app, ["plan", "-C", str(root)]).output
    assert "+++ legs, as declared" in shown and "changes late" in shown
    assert "reaches  table     shares   late" in shown and "features  airport  late_1d" in shown


def content(root: Path) -> dict[str, str]:
    """Every file with a hash of its bytes, and every directory; but LMDB's table of readers, which is not data."""
    paths = [path for path in root.rglob("*") if path.name not in ("lock.mdb", "__pycache__") and path.suffix != ".pyc"]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "" for p in sorted(paths)}


def test_a_plan_writes_nothing(root: Path, load: Callable[[], ms.Project], edit: Edit) -> None:
    before = content(root)
    with load() as project:
        assert project.plan(explain=True).changed == () and len(project.plan().steps) == 6
    assert content(root) == before
    with edit("arr_delay > 15", "arr_delay > 20"):
        pass
    (root / "sql" / "worst.sql").write_text("select id, worst from legs join days using (origin)\n")
    before = content(root)
    with load() as project:
        assert project.plan(explain=True).changed
    assert content(root) == before
