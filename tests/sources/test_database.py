import sqlite3
import traceback
from contextlib import closing

import pytest

from mainstem.errors import SourceError, SourceUnreachable
from mainstem.nodes.databases import database
from mainstem.sources.databases import dialect_of
from mainstem.sources.databases.base import Column, Window
from mainstem.sources.inspection import introspect, observe

URL = "sqlite:///registry.db"


def run(bench, *statements):
    with closing(sqlite3.connect(bench.root / "registry.db")) as connection, connection:
        for sql, *parameters in statements:
            connection.execute(sql, *parameters)


@pytest.fixture
def planes(bench):
    run(
        bench,
        ("CREATE TABLE planes (tailnum TEXT PRIMARY KEY, year INTEGER, speed REAL, seen DATETIME, note TEXT)",),
        ("INSERT INTO planes VALUES ('N1', NULL, 1.5, '2013-01-01 10:00:00', NULL)",),
        ("INSERT INTO planes VALUES ('N2', 1999, NULL, NULL, 'é')",),
    )
    return database(URL, table="planes", key="tailnum", known="always")


def test_types_are_those_the_table_declares(bench, planes):
    assert introspect(planes, bench.root, bench.engine) == {
        "tailnum": "string",
        "year": "int64",
        "speed": "float64",
        "seen": "timestamp('UTC', 6)",
        "note": "string",
    }


def test_types_of_a_table_with_the_name_of_its_schema(bench, planes):
    named = database(URL, table="main.planes", key="tailnum", known="always")
    assert introspect(named, bench.root, bench.engine) == introspect(planes, bench.root, bench.engine)


def test_a_table_lands_and_is_replaced_when_it_changes(bench, planes):
    outcome = bench.collect(planes)
    assert outcome.rows_in == 2
    assert str(bench.rows()[0].pop("seen")) == "2013-01-01 10:00:00+00:00"
    assert bench.column("note") == [None, "é"]
    assert bench.collect(planes).message == "nothing new"
    run(bench, ("DELETE FROM planes WHERE tailnum = 'N1'",), ("INSERT INTO planes (tailnum) VALUES ('N3')",))
    bench.collect(planes)
    assert bench.column("tailnum") == ["N2", "N3"]


def test_observing_tells_a_change_at_once(bench, planes):
    snapshot = bench.collect(planes).tables["source"]
    assert observe(planes, bench.root, snapshot.cursor) == snapshot.properties["mainstem.observed"]
    run(bench, ("INSERT INTO planes (tailnum) VALUES ('N3')",))
    assert observe(planes, bench.root, snapshot.cursor) != snapshot.properties["mainstem.observed"]


def test_a_query(bench, planes):
    node = database(URL, query="SELECT tailnum, year + 1 AS following FROM planes WHERE year > 1900")
    bench.collect(node)
    assert bench.rows() == [{"tailnum": "N2", "following": 2000}]


def test_with_a_cursor_only_new_rows_are_read_also_late_ones_at_the_last_value(bench):
    run(bench, ("CREATE TABLE log (id INTEGER, at TEXT)",), ("INSERT INTO log VALUES (1, '2013-01-01T10:00:00Z')",))
    node = database(URL, table="log", cursor="at", time="at", schema={"at": "timestamp('UTC', 6)"})
    assert bench.collect(node).rows_in == 1
    assert bench.collect(node).message == "nothing new"
    run(
        bench,
        *[
            (f"INSERT INTO log VALUES ({i}, '{at}')",)
            for i, at in [(2, "2013-01-01T10:00:00Z"), (3, "2013-02-01T10:00:00Z")]
        ],
    )
    assert bench.collect(node).rows_in == 2
    assert bench.collect(node).message == "nothing new"
    assert [(r["id"], r["_seq"]) for r in bench.rows()] == [(1, 0), (2, 1), (3, 2)]


def test_a_key_brought_again_from_a_cursor_is_a_warning(bench):
    run(bench, ("CREATE TABLE log (id INTEGER, n INTEGER)",), ("INSERT INTO log VALUES (1, 1)",))
    node = database(URL, table="log", cursor="n", key="id")
    bench.collect(node)
    run(bench, ("INSERT INTO log VALUES (1, 2)",))
    found = {r.label: (r.severity, r.violations) for r in bench.collect(node).checks}
    assert found == {"not_null(id)": ("error", 0), "unique(id)": ("warn", 1)}


def test_another_table_starts_anew(bench):
    run(
        bench,
        ("CREATE TABLE a (n INTEGER)",),
        ("CREATE TABLE b (n INTEGER)",),
        ("INSERT INTO a VALUES (5)",),
        ("INSERT INTO b VALUES (1)",),
    )
    bench.collect(database(URL, table="a", cursor="n"))
    bench.collect(database(URL, table="b", cursor="n"))
    assert bench.column("n") == [1]


def test_names_are_quoted():
    node = database("postgresql://h/d", table='public.odd "name"', cursor="at")
    column = Column("at", "int4", None, 'source."at"')
    query = dialect_of(node.url).query(node, [column], Window(3))
    relation = '"public"."odd ""name"""'
    assert query.sql == f'SELECT source."at" FROM {relation} AS source WHERE source."at" >= $1::text::int4'
    assert query.parameters == ("3",)


def test_every_value_of_sqlite_is_stored_exactly(bench):
    run(bench, ("CREATE TABLE t (id INTEGER, n, paid BOOLEAN)",), ("INSERT INTO t VALUES (1, 9007199254740993, 1)",))
    node = database(URL, table="t", cursor="id", key="id")
    known = introspect(node, bench.root, bench.engine)
    assert known == {"id": "int64", "n": "int64", "paid": "boolean"}
    bench.collect(node, known)
    assert bench.rows() == [{"id": 1, "n": 9007199254740993, "paid": True}]
    run(bench, ("INSERT INTO t VALUES (2, 1.5, 0)",), ("INSERT INTO t VALUES (3, 'n/a', NULL)",))
    assert bench.collect(node, known).rows_in == 2, "the row at the last value is recognised"
    assert [(r["n"], r["paid"]) for r in bench.rows()] == [("9007199254740993", True), ("1.5", False), ("n/a", None)]
    assert bench.collect(node, known | {"n": "string"}).rows_in == 0


@pytest.mark.parametrize("rows", [[(1, 9007199254740993), (2, 1.5)], [(1, 1.5), (2, 9007199254740993)]])
def test_an_integer_of_sqlite_that_no_float_holds_beside_one(bench, rows):
    run(bench, ("CREATE TABLE t (id INTEGER, n)",), *(("INSERT INTO t VALUES (?, ?)", row) for row in rows))
    with pytest.raises(SourceError, match="'n' cannot become float64") as error:
        bench.collect(database(URL, table="t"), {"id": "int64", "n": "float64"})
    assert error.value.got == "9007199254740993 (int64)"
    declared = {"n": "decimal(38, 6)"}
    bench.collect(database(URL, table="t", schema=declared), {"id": "int64", **declared})
    assert sorted(map(str, bench.column("n"))) == ["1.500000", "9007199254740993.000000"]


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────────


def test_no_database_file(bench):
    node = database("sqlite:///nowhere.db", table="planes")
    with pytest.raises(SourceUnreachable, match="the database file does not exist"):
        bench.collect(node, {"a": "int64"})
    assert observe(node, bench.root, None) == "unreachable"


def test_no_table(bench, planes):
    with pytest.raises(SourceError) as error:
        bench.collect(database(URL, table="plans"), {"a": "int64"})
    assert "no such table: plans" in error.value.got


def test_a_missing_column(bench, planes):
    outcome = bench.collect(planes, {"tailnum": "string", "yaer": "int64"})
    assert "no column yaer, null" in outcome.message and "new column year (int64)" in outcome.message
    assert [(row["yaer"], row["year"]) for row in bench.rows()] == [(None, None), (None, 1999)]


def test_a_value_of_another_type_names_column_and_value(bench):
    run(
        bench,
        ("CREATE TABLE t (n TEXT)",),
        *[(f"INSERT INTO t VALUES ('{i}')",) for i in range(100)],
        ("INSERT INTO t VALUES ('many')",),
    )
    with pytest.raises(SourceError) as error:
        bench.collect(database(URL, table="t", contract="freeze"), {"n": "int64"})
    assert error.value.what == "the schema of the source changed: n: int64 → string"
    assert error.value.where.endswith("t: 'many'")


def test_no_server_and_its_password_is_not_shown(bench, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    node = database("postgresql://me:${env:DB_PASSWORD}@127.0.0.1:9/db", table="t")
    with pytest.raises(SourceUnreachable) as error:
        bench.collect(node, {"a": "int64"})
    assert "hunter2" not in str(error.value)


def test_another_kind_of_database(bench):
    with pytest.raises(SourceError, match="the driver of the database is not installed"):
        bench.collect(database("oracle://h/d", table="t"), {"a": "int64"})


@pytest.mark.parametrize(
    "url", ["me:{}@127.0.0.1:1/x", "me@127.0.0.1:{}/x", "me@127.0.0.1:1/x?no_such={}", "me@{}:1/x"]
)
def test_no_part_of_an_error_of_the_driver_shows_a_secret(bench, monkeypatch, url):
    monkeypatch.setenv("CANARY", "c4n4ry-7f3a")
    node = database(f"postgresql://{url.format('${env:CANARY}')}", table="t")
    with pytest.raises(SourceError) as error:
        bench.collect(node, {"n": "int64"})
    shown = "".join(traceback.format_exception(error.value))
    assert "c4n4ry" not in shown.replace("${env:CANARY}", "")
