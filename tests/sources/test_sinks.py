"""Sinks: what is delivered and when, files, databases in a file, and what is refused."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from ibis import _

import mainstem as ms
import small_project
from mainstem.errors import DefinitionError, DeliveryFailed, UnknownName
from mainstem.nodes.deliveries import Delivery
from mainstem.nodes.records import now
from mainstem.planning.plan import Step
from mainstem.project.retention import kept
from mainstem.settings import Keep
from mainstem.sources.sinks.deliver import Deliver
from sinking import EVERY, PLAIN, Shop, told

FIRST = [{"id": 1, "name": "ann"}, {"id": 2, "name": "bob"}]


def stored(file: Path, sql: str = "SELECT * FROM t ORDER BY 1") -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path, ms.database("sqlite:///out.db", table="t"))
    made.write("1", FIRST)
    return made


# ── when, and what ────────────────────────────────────────────────────────────────────────────────────


def test_only_rows_that_changed_are_sent_and_keys_that_are_gone_are_removed(shop: Shop) -> None:
    assert shop.run() == "2; to t of sqlite:///out.db"
    assert shop.run() == "no step"
    shop.write("2", [{"id": 3, "name": "cy"}, {"id": 4, "name": "di"}])
    assert shop.run().startswith("2;")
    shop.write("2", [{"id": 3, "name": "cyd"}])
    assert shop.run() == "1; 1 removed; to t of sqlite:///out.db"
    assert stored(shop.root / "out.db") == [(1, "ann"), (2, "bob"), (3, "cyd")]
    marks = stored(shop.root / "out.db", "SELECT sink, target, key_columns FROM mainstem_deliveries")
    assert marks == [("shop/out", "t", "id")]


def test_a_plan_shows_the_delivery_and_status_a_failure_that_the_next_run_makes_good(shop: Shop) -> None:
    with shop.opened() as project:
        assert [(step.key, step.reason) for step in project.plan().steps] == [
            ("collect rows", "never collected"),
            ("deliver out", "never delivered"),
        ]
        (shop.root / "out.db").mkdir()
        with pytest.raises(DeliveryFailed, match="out could not be delivered; the release is published") as failure:
            project.run()
        assert failure.value.run.status == "published" and failure.value.causes[0].kind == "SinkError"
        assert project.table("rows").to_pyarrow().num_rows == 2
        status = {node.name: node for node in project.status().nodes}["out"]
        assert (status.kind, status.state, status.inputs) == ("sink", "failed", ("rows",))
        assert "cannot be opened" in str(status.error)
        (shop.root / "out.db").rmdir()
        release = project.release.id
        assert told(project.run()).startswith("2;")
        assert project.release.id == release
        assert not project.plan().steps
        assert {node.name: node.state for node in project.status().nodes} == {"rows": "fresh", "out": "fresh"}


def test_only_main_delivers_and_a_rollback_is_delivered(shop: Shop) -> None:
    shop.run()
    shop.write("2", [{"id": 3, "name": "cy"}])
    with shop.opened() as project, project.on("dev") as dev:
        assert [step.key for step in dev.plan().steps] == ["collect rows"]
        dev.run()
        assert len(stored(shop.root / "out.db")) == 2
        project.run()
        assert len(stored(shop.root / "out.db")) == 3
        project.rollback()
        assert told(project.run("out", forward=True)) == "0; 1 removed; to t of sqlite:///out.db"
        assert len(stored(shop.root / "out.db")) == 2


def test_a_changed_definition_sends_all_rows_and_a_new_column_is_added(shop: Shop) -> None:
    shop.more = {"columns": ["id"]}
    shop.run()
    shop.more = {}
    assert shop.run().startswith("2;")
    assert stored(shop.root / "out.db") == [(1, "ann"), (2, "bob")]
    shop.write("2", [{"id": 3, "name": "cy", "age": 7}])
    assert shop.run().startswith("1;")  # rows whose new column is null did not change
    assert stored(shop.root / "out.db") == [(1, "ann", None), (2, "bob", None), (3, "cy", 7)]


def test_a_target_that_was_emptied_or_lost_its_mark_gets_all_rows(shop: Shop) -> None:
    shop.run()
    (shop.root / "out.db").unlink()
    shop.write("2", [{"id": 3, "name": "cy"}])
    assert shop.run().startswith("3;")
    with closing(sqlite3.connect(shop.root / "out.db")) as connection, connection:
        connection.execute("UPDATE mainstem_deliveries SET mark = 'unknown'")
        connection.execute("INSERT INTO t VALUES (9, 'stray')")
    shop.write("2", [{"id": 3, "name": "cyd"}])
    assert shop.run().startswith("3;")
    assert stored(shop.root / "out.db") == [(1, "ann"), (2, "bob"), (3, "cyd"), (9, "stray")]


def test_rows_of_others_stay_in_a_table_that_was_there_before(shop: Shop) -> None:
    with closing(sqlite3.connect(shop.root / "out.db")) as connection, connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, note TEXT DEFAULT 'x')")
        connection.execute("INSERT INTO t VALUES (1, 'old', 'kept'), (9, 'theirs', 'y')")
    shop.run()
    shop.write("1", [{"id": 1, "name": "anna"}])
    shop.run()
    assert stored(shop.root / "out.db") == [(1, "anna", "kept"), (9, "theirs", "y")]


def test_a_key_that_is_null_or_comes_twice_is_refused_and_the_target_keeps_its_rows(shop: Shop) -> None:
    shop.run()
    for number in (3, None):
        shop.key, shop.more = None, {"key": "id"}
        shop.write("2", [{"id": number, "name": "a"}, {"id": number, "name": "b"}])
        with pytest.raises(DeliveryFailed) as failure:
            shop.run()
        cause = failure.value.causes[0]
        assert cause.got == f"id={number}"
        assert cause.what == (
            "rows to deliver have no key" if number is None else "a key comes twice in the rows to deliver"
        )
        assert len(stored(shop.root / "out.db")) == 2


def test_two_sinks_deliver_a_source_and_a_table_over_it(shop: Shop) -> None:
    table = ms.table(lambda rows: rows.filter(_.id > 1), name="few", key="id")
    with shop.opened(few=table, more=ms.sink(table, to=ms.database("sqlite:///few.db", table="t"))) as project:
        project.run()
    assert stored(shop.root / "few.db") == [(2, "bob")]
    assert len(stored(shop.root / "out.db")) == 2


def test_a_delivery_whose_end_the_state_does_not_know_is_not_repeated(shop: Shop) -> None:
    shop.run()
    with shop.opened() as project:
        state = project.adapters.state
        first = state.get(Delivery, "main/out")
        shop.write("2", [{"id": 3, "name": "cy"}])
        project.run()
        second = state.get(Delivery, "main/out")
        assert first is not None and second is not None
        # As after a kill between the commit at the target and the record of it.
        state.save(replace(first, begun=second.held))
        assert project.plan().steps[0].reason == "its last delivery did not end"
        assert told(project.run()) == "0; to t of sqlite:///out.db"
        # As after a kill before the commit, and a change since.
        state.save(replace(second, begun=first.held))
        shop.write("2", [{"id": 3, "name": "cyd"}])
        assert told(project.run()).startswith("1;")


def test_predictions_of_an_endpoint_are_delivered(tmp_path: Path) -> None:
    late = small_project.nodes()
    arrivals = ms.endpoint(late["late"], name="arrivals")
    out = ms.sink(arrivals, to=ms.database("sqlite:///out.db", table="t"))
    world = small_project.World(tmp_path, small_project.graph_of({**late, "arrivals": arrivals, "out": out}))
    step, deliver = Step("deliver", "out", "test", effect="outside"), Deliver(tmp_path, "shop")
    assert deliver(step, world.context).message == "no rows yet"
    schema = {"flight_id": "string", "_id": "string", "_version": "string", "score": "float64", "_seq": "int64"}
    rows = [{"flight_id": "F1", "_id": "p1", "_version": "late-1", "score": 0.25, "_seq": 0}]
    world.put("predictions.arrivals", rows, schema)
    assert deliver(step, world.context).published == 1
    world.put("predictions.arrivals", [*rows, {**rows[0], "_id": "p2", "score": 0.5, "_seq": 1}], schema)
    assert deliver(step, world.context).published == 1
    assert stored(tmp_path / "out.db") == [("F1", "p1", "late-1", 0.25), ("F1", "p2", "late-1", 0.5)]
    world.close()


def test_what_gc_keeps_has_the_snapshot_that_a_target_has(shop: Shop) -> None:
    shop.run()
    with shop.opened() as project:
        sent = project.adapters.state.get(Delivery, "main/out")
        assert sent is not None and sent.sent is not None
        assert sent.sent.snapshots["rows"] in kept(project.adapters.state, Keep("0d", 1), now()).snapshots


# ── values ────────────────────────────────────────────────────────────────────────────────────────────


def test_every_type_arrives_in_sqlite_and_duckdb(shop: Shop) -> None:
    (shop.root / "data" / "1.parquet").unlink()
    shop.write("1", EVERY)
    shop.to = ms.database("duckdb:///out.duckdb", table="main.t")
    shop.run()
    with duckdb.connect(str(shop.root / "out.duckdb")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.sql("SELECT * FROM t ORDER BY id").to_arrow_table()
    assert sorted(map(str, found.to_pylist())) == sorted(map(str, PLAIN.to_pylist()))
    shop.write("1", EVERY.slice(1))
    assert "1 removed" in shop.run()
    shop.to = ms.database("sqlite:///out.db", table="t")
    shop.run()
    rows = {row[0]: row[1:] for row in stored(shop.root / "out.db")}
    assert rows["A"] == (None,) * 9
    assert rows["ü😀"][3:7] == ("-0.001", "2013-01-01 10:00:00.000001", "0001-01-01", "00:00:00")


def test_a_column_that_does_not_hold_the_values_is_refused(shop: Shop) -> None:
    with closing(sqlite3.connect(shop.root / "out.db")) as connection, connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name INTEGER)")  # '007' would become 7
    with pytest.raises(DeliveryFailed) as failure:
        shop.run()
    assert failure.value.causes[0].what == "the column 'name' of the target does not hold the values"


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────


def test_one_file_has_all_rows_and_is_replaced(shop: Shop) -> None:
    shop.to = ms.files("out/all.csv.gz")
    assert shop.run() == "2; to out/all.csv.gz"
    shop.write("2", [{"id": 3, "name": "c,y"}])
    shop.run()
    (file,) = (shop.root / "out").iterdir()
    assert pyarrow.csv.read_csv(file).sort_by("id").to_pylist() == [*FIRST, {"id": 3, "name": "c,y"}]


def test_several_files_are_written_once_each_and_others_stay(shop: Shop) -> None:
    shop.to = ms.files("out/rows-*.parquet")
    shop.run()
    (first,) = (shop.root / "out").iterdir()
    (shop.root / "out" / "rows-other.parquet").write_text("of someone else")
    before = first.stat().st_mtime_ns
    shop.write("2", [{"id": 3, "name": "cy"}])
    assert shop.run().startswith("1;")
    assert first.stat().st_mtime_ns == before
    ours = sorted((shop.root / "out").glob("rows-shop-out-*.parquet"))
    assert len(ours) == 2
    assert pa.concat_tables(map(pq.read_table, ours)).sort_by("id").num_rows == 3
    (shop.root / "data" / "1.parquet").unlink()
    shop.write("2", [{"id": 4, "name": "di"}])
    shop.run()
    left = {each.name for each in (shop.root / "out").iterdir()}
    assert "rows-other.parquet" in left
    rows = pa.concat_tables(map(pq.read_table, (shop.root / "out").glob("rows-shop-out-*.parquet")))
    with shop.opened() as project:
        assert sorted(rows["id"].to_pylist()) == sorted(project.table("rows").to_pyarrow()["id"].to_pylist())


def test_json_lines_keep_digits_and_lists(shop: Shop) -> None:
    shop.write("1", EVERY)
    shop.to = ms.files("all.jsonl")
    shop.run()
    lines = (shop.root / "all.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert (
        '"n":9223372036854775807' in lines[0] and '"d":"123456789.125"' in lines[0] and '"tags":["a","b"]' in lines[0]
    )


# ── what is refused when the project loads ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("to", "what"),
    [
        (lambda: ms.files("a.xlsx"), "no sink writes such files"),
        (lambda: ms.files("a.parquet.gz", format="parquet"), "no sink writes such files"),
        (lambda: ms.files("*/a.csv"), "the path has more than one `*`"),
        (lambda: ms.files("a.csv", key="id"), "`key` of the target is about reading"),
        (lambda: ms.database("sqlite:///a.db", query="SELECT 1"), "`query` of the target is about reading"),
        (lambda: ms.database("oracle://x/y", table="t"), "no sink writes to this kind of database"),
        (lambda: ms.kafka("b:1", "t", start="latest"), "`start` of the target is about reading"),
        (lambda: ms.web("http://x", rows="a", fields={"a": "b"}), "`to` is not a target"),
        (lambda: "out.csv", "`to` is not a target"),
    ],
)
def test_a_target_that_cannot_be_written_is_refused(to: Any, what: str) -> None:
    with pytest.raises(DefinitionError) as problem:
        ms.sink("rows", to=to())
    assert problem.value.what == what and "test_sinks.py" in str(problem.value.where)


def test_a_declaration_brings_no_heavy_library() -> None:
    heavy = ("ibis", "pyarrow", "duckdb", "confluent_kafka", "pymysql", "adbc_driver_postgresql")
    declared = 'import mainstem as ms; ms.sink("a", to=ms.kafka("b:1", "t"))'
    program = f"{declared}; import sys; print([each for each in {heavy} if each in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


def test_columns_keys_and_shared_targets_are_checked_without_breaking_the_rest(shop: Shop) -> None:
    rows = ms.files("data/*.parquet")
    to = ms.database("sqlite:///out.db", table="t")
    for more, kind, text in [
        ({"columns": ["nmae"], "key": "id"}, UnknownName, "did you mean 'name'"),
        ({}, DefinitionError, "the sink requires a key"),
        ({"key": "id", "columns": ["name"]}, DefinitionError, "lacks the key column 'id'"),
    ]:
        with ms.testing.project({"rows": rows, "out": ms.sink(rows, to=to, **more)}, {"rows": FIRST}) as project:
            with pytest.raises(kind, match=text):
                project.run()
            assert project.table("rows").to_pyarrow().num_rows == 2
    both = {"a": ms.sink(rows, to=to, key="id"), "b": ms.sink(rows, to=ms.database(to.url, table="t"), key="id")}
    with (
        ms.testing.project({"rows": rows, **both}, {"rows": FIRST}) as project,
        pytest.raises(DefinitionError, match="the sinks 'a' and 'b' have one target"),
    ):
        project.plan()
        raise project.sound.broken["a"]
