"""What a sink removes and keeps at its target, when the target, its key or its form changes, and after interrupts."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import DeliveryFailed
from mainstem.nodes.deliveries import Delivery
from mainstem.nodes.records import RunRecord
from mainstem.sources.sinks.databases.target import DatabaseTarget
from sinking import Shop

FIRST = [{"id": 1, "name": "ann"}, {"id": 2, "name": "bob"}]


def done(file: Path, *statements: str) -> list[tuple[Any, ...]]:
    """Execute statements, and return the rows of the last one."""
    with closing(sqlite3.connect(file)) as connection, connection:
        return [connection.execute(each).fetchall() for each in statements][-1]


def rows(shop: Shop, table: str = "t") -> list[tuple[Any, ...]]:
    return done(shop.root / "out.db", f"SELECT * FROM {table} ORDER BY 1")


def cause(shop: Shop) -> Any:
    with pytest.raises(DeliveryFailed) as failure:
        shop.run()
    return failure.value.causes[0]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path, ms.database("sqlite:///out.db", table="t"))
    made.write("1", FIRST)
    return made


# ── rows that are gone, and rows of others ────────────────────────────────────────────────────────────


def test_another_table_is_another_target_whose_rows_of_others_stay(shop: Shop) -> None:
    shop.run()
    done(shop.root / "out.db", "CREATE TABLE u (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO u VALUES (9, 'x')")
    shop.to = ms.database("sqlite:///out.db", table="u")
    assert shop.run() == "2; to u of sqlite:///out.db"
    assert rows(shop, "u") == [(1, "ann"), (2, "bob"), (9, "x")]
    shop.write("1", FIRST[:1])
    shop.to = ms.database("sqlite:///out.db", table="t")
    assert shop.run() == "1; 1 removed; to t of sqlite:///out.db"
    assert rows(shop) == [(1, "ann")] and len(rows(shop, "u")) == 3


@pytest.mark.parametrize(("lost", "own"), [("definition", False), ("mark", True), ("state", False)])
def test_all_rows_that_are_sent_leave_out_what_is_gone_and_keep_what_is_of_others(
    shop: Shop, lost: str, own: bool
) -> None:
    file = shop.root / "out.db"
    if not own:
        done(file, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO t VALUES (8, 'before')")
    shop.run()
    done(file, "INSERT INTO t VALUES (9, 'after')")
    if lost == "definition":
        shop.more = {"columns": ["name", "id"]}
    elif lost == "mark":
        done(file, "UPDATE mainstem_deliveries SET mark = 'unknown'")
    else:
        with shop.opened() as project:
            project.adapters.state.save(Delivery("main/out", "out"))
    shop.write("1", FIRST[1:])
    assert shop.run() == "1; 1 removed; to t of sqlite:///out.db"
    assert rows(shop) == [(2, "bob"), *([] if own else [(8, "before")]), (9, "after")]


def test_a_table_that_was_dropped_is_made_again(shop: Shop) -> None:
    shop.run()
    done(shop.root / "out.db", "DROP TABLE t")
    shop.write("2", [{"id": 3, "name": "cy"}])
    assert shop.run() == "3; to t of sqlite:///out.db"
    assert len(rows(shop)) == 3


def test_what_is_added_may_have_a_value_that_is_unique_of_a_row_that_is_gone(shop: Shop) -> None:
    done(shop.root / "out.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
    shop.run()
    shop.write("1", [{"id": 2, "name": "bob"}, {"id": 3, "name": "ann"}])
    assert shop.run() == "1; 1 removed; to t of sqlite:///out.db"
    assert rows(shop) == [(2, "bob"), (3, "ann")]


def test_a_unique_value_passes_to_a_new_row_in_duckdb(shop: Shop) -> None:
    file = str(shop.root / "out.duckdb")
    with duckdb.connect(file) as connection:
        connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR UNIQUE)")
    shop.to = ms.database("duckdb:///out.duckdb", table="t")
    shop.run()
    shop.write("1", [{"id": 2, "name": "bob"}, {"id": 3, "name": "ann"}])
    assert shop.run() == "1; 1 removed; to t of duckdb:///out.duckdb"
    with duckdb.connect(file) as connection:
        assert connection.sql("SELECT * FROM t ORDER BY id").fetchall() == [(2, "bob"), (3, "ann")]


def test_erase_tells_which_targets_have_the_rows_until_the_next_run(shop: Shop) -> None:
    done(shop.root / "out.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)", "INSERT INTO t VALUES (9, 'x')")
    counts = ms.table(lambda rows: rows.group_by("name").agg(n=_.id.count()), name="counts", key="name")
    other = ms.files("other.csv", key="id")
    more = {
        "counts": counts,
        "elsewhere": other,
        "sums": ms.sink(counts, to=ms.files("sums.csv")),
        "other": ms.sink(other, to=ms.files("others.csv")),
    }
    (shop.root / "other.csv").write_text("id,v\n7,x\n")
    with shop.opened(**more) as project:
        project.run()
        told = project.erase("id", 1, rehearse=True).left
        assert told == project.erase("id", 1).left
        assert told[1:-1] == (
            "t of sqlite:///out.db has the rows until the next run delivers out",
            "sums.csv has the rows until the next run delivers sums",
        )
        assert len(rows(shop)) == 3
        project.run()
        assert rows(shop) == [(2, "bob"), (9, "x")]
        assert "ann" not in (shop.root / "sums.csv").read_text()
        assert not project.plan().steps
        project.gc()


def test_erase_forgets_the_key_that_a_delivery_refused(shop: Shop) -> None:
    shop.key, shop.more = None, {"key": ["name", "id"]}
    shop.write("2", FIRST)
    assert cause(shop).got == "name='ann', id=1; name='bob', id=2"
    with shop.opened() as project:
        project.erase("name", "ann")
        found = [step.error or "" for run in project.adapters.state.find(RunRecord) for step in run.steps]
    assert any("name=(erased), id=1; name='bob'" in error for error in found)
    assert not any("ann" in error for error in found)


# ── interrupts ────────────────────────────────────────────────────────────────────────────────────────


def test_two_interrupts_leave_nothing_behind(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.run()
    with shop.opened() as project:
        state = project.adapters.state
        first = state.get(Delivery, "main/out")
        shop.write("2", [{"id": 3, "name": "cy"}, {"id": 4, "name": "di"}])
        project.run()
        second = state.get(Delivery, "main/out")
        assert first is not None and second is not None
        state.save(replace(first, begun=second.held))  # a kill after the commit at the target
        shop.write("2", [{"id": 4, "name": "di"}])
        with monkeypatch.context() as patch:
            patch.setattr(DatabaseTarget, "write", _interrupted)  # and one before
            with pytest.raises(KeyboardInterrupt):
                project.run()
        left = state.get(Delivery, "main/out")
        assert left is not None and left.sent == second.sent and len(left.begun) == 1
    shop.write("3", [{"id": 5, "name": "ed"}])
    assert shop.run() == "1; 1 removed; to t of sqlite:///out.db"
    assert [row[0] for row in rows(shop)] == [1, 2, 4, 5]


def _interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_delivery_of_a_killed_process_that_the_server_ends_late_is_noticed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, one, two = (shop.root / name for name in ("out.db", "one.db", "two.db"))
    shop.run()
    shutil.copy(file, one)
    with shop.opened() as project:
        state = project.adapters.state
        first = state.get(Delivery, "main/out")
        shop.write("2", [{"id": 3, "name": "cy"}])
        project.run()
        shutil.copy(file, two)
        second = state.get(Delivery, "main/out")
        assert first is not None and second is not None
        state.save(replace(first, begun=second.held))
        shutil.copy(one, file)
        shop.write("2", [{"id": 4, "name": "di"}])
        look = DatabaseTarget.mark

        def late(target: DatabaseTarget) -> str | None:
            mark = look(target)
            if two.exists():
                two.replace(file)  # the commit of the killed process, after the look
            return mark

        monkeypatch.setattr(DatabaseTarget, "mark", late)
        project.run()
    assert [row[0] for row in rows(shop)] == [1, 2, 4]


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_that_a_new_file_repeats_is_refused_and_shown(shop: Shop) -> None:
    shop.key, shop.more = None, {"key": "id"}
    shop.run()
    shop.write("2", [{"id": n, "name": "again"} for n in (2, 1)])
    found = cause(shop)
    assert (found.what, found.got) == ("a key comes twice in the rows to deliver", "id=1; id=2")
    shop.write("1", [{"id": n, "name": "again"} for n in range(9)] * 2)
    assert cause(shop).got == "id=0; id=1; id=2; id=3; id=4; …"
    shop.write("1", [{"id": None, "name": "a"}, FIRST[1]])
    shop.write("2", [FIRST[0]])
    found = cause(shop)
    assert (found.what, found.got) == ("rows to deliver have no key", "id=None")
    assert rows(shop) == [(1, "ann"), (2, "bob")]
    shop.write("1", [{"id": 3, "name": "cy"}])
    assert shop.run() == "1; 1 removed; to t of sqlite:///out.db"


@pytest.mark.parametrize("forgotten", [False, True])
def test_another_key_is_refused_until_the_table_is_another(shop: Shop, forgotten: bool) -> None:
    shop.run()
    if forgotten:
        with shop.opened() as project:
            project.adapters.state.save(Delivery("main/out", "out"))
    shop.more = {"key": "name"}
    found = cause(shop)
    assert found.what == "the target has rows by another key" and "drop the table" in found.hint
    assert (found.got, found.expected) == ("key=name", "key=id, by which the rows were delivered")
    done(shop.root / "out.db", "DROP TABLE t")
    assert shop.run().startswith("2;")
    shop.write("1", FIRST[1:])
    assert shop.run().startswith("0; 1 removed")


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────


def test_another_delimiter_writes_every_file_anew(shop: Shop) -> None:
    shop.write("2", [{"id": 3, "name": "cy"}])
    shop.to = ms.files("out/*.csv")
    shop.run()
    assert {each.read_text().splitlines()[0] for each in (shop.root / "out").iterdir()} == {'"id","name"'}
    shop.to = ms.files("out/*.csv", options={"delim": ";"})
    assert shop.run() == "3; to out/*.csv"
    found = [each.read_text().splitlines() for each in (shop.root / "out").iterdir()]
    assert {lines[0] for lines in found} == {'"id";"name"'}
    assert sorted(line for lines in found for line in lines[1:]) == ['1;"ann"', '2;"bob"', '3;"cy"']


def test_tsv_has_tabs(shop: Shop) -> None:
    shop.to = ms.files("out/*.tsv")
    shop.run()
    (file,) = (shop.root / "out").iterdir()
    assert file.read_text() == '"id"\t"name"\n1\t"ann"\n2\t"bob"\n'


def test_projects_with_sinks_of_one_name_share_a_directory(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    for name in ("one", "two"):
        shop = Shop(tmp_path / name, ms.files(f"{shared}/*.csv"))
        (shop.root / "mainstem.toml").write_text(f'[project]\nname = "{name}"\nmodules = []\n')
        shop.write("1", [{"id": 1, "name": name}])
        shop.run()
    assert len(list(shared.iterdir())) == 2


def test_files_at_a_file_system_of_fsspec(shop: Shop) -> None:
    system = fsspec.filesystem("memory")
    for path, more in (("memory://sinks/all.csv", {}), ("memory://sinks/rows/*.csv", {"columns": ["id"]})):
        shop.to, shop.more = ms.files(path), more
        assert shop.run() == f"2; to {path}"
    (one,) = system.glob("/sinks/rows/*.csv")
    assert system.cat_file("/sinks/all.csv") == b'"id","name"\n1,"ann"\n2,"bob"\n'
    assert system.cat_file(one) == b'"id"\n1\n2\n'
    shop.write("1", [{"id": 3, "name": "cy"}])
    assert shop.run() == "1; to memory://sinks/rows/*.csv"
    assert [system.cat_file(each) for each in system.glob("/sinks/rows/*")] == [b'"id"\n3\n']
