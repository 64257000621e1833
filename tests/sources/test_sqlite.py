"""SQLite's dynamic types: values are stored exactly, or are an error; cursors compare as what they mean."""

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime

import pytest

from mainstem.errors import SourceError, SourceUnreachable
from mainstem.nodes.databases import database
from mainstem.sources.inspection import introspect

URL = "sqlite:///t.db"
INSTANT = "timestamp('UTC', 6)"


@pytest.fixture
def table(bench):
    """Makes a table `t` of rows."""

    def make(columns, *rows):
        with closing(sqlite3.connect(bench.root / "t.db")) as connection, connection:
            if columns:
                connection.execute(f"CREATE TABLE IF NOT EXISTS t ({columns})")
            for row in rows:
                connection.execute(f"INSERT INTO t VALUES ({', '.join('?' for _ in row)})", row)

    return make


@pytest.mark.parametrize("declared", ["DATETIME", "DATE"])
@pytest.mark.parametrize("rows", [[1356998400], [1356998400.5], ["2013-01-01 00:00:00", 1356998400]])
def test_a_number_in_a_column_of_instants_is_an_error(bench, table, declared, rows):
    table(f"at {declared}", *([row] for row in rows))
    with pytest.raises(SourceError, match="'at' has a number that is not") as error:
        bench.collect(database(URL, table="t"))
    assert error.value.got == str(rows[-1]) and "'unixepoch'" in error.value.hint
    bench.collect(database(URL, query="SELECT coalesce(datetime(at, 'unixepoch'), at) AS at FROM t"))
    assert str(bench.column("at")[-1])[:10] == "2013-01-01"


def test_such_a_row_is_set_aside(bench, table):
    table("id INTEGER, at DATETIME", (1, "2013-01-01 10:00:00"), (2, 1356998400))
    outcome = bench.collect(database(URL, table="t", contract="quarantine"))
    assert (outcome.published, outcome.quarantined) == (1, 1)
    assert bench.column("at") == [datetime(2013, 1, 1, 10, tzinfo=UTC)]


def test_rows_of_mixed_types_are_set_aside_and_come_in_again(bench, table):
    table("id INTEGER, n, x REAL", (1, 1, 1.5), (2, "n/a", 2), (3, 2.5, 3), (4, None, "many"))
    types = {"id": "int64", "n": "int64", "x": "float64"}
    outcome = bench.collect(database(URL, table="t", key="id", cursor="id", contract="quarantine"), types)
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (4, 1, 3)
    assert bench.rows() == [{"id": 1, "n": 1, "x": 1.5}]
    node = database(URL, table="t", key="id", cursor="id", contract="evolve")
    outcome = bench.collect(node, types, reingest=frozenset({"source"}))
    assert outcome.quarantined == 0
    assert [(row["n"], row["x"]) for row in bench.rows()] == [
        ("1", "1.5"),
        ("n/a", "2.0"),
        ("2.5", "3.0"),
        (None, "many"),
    ]


@pytest.mark.parametrize("text", ["9007199254740993", "-9007199254740993.0", "12345678901234567890"])
def test_a_text_that_no_float_holds_keeps_its_digits(bench, table, text):
    table("id INTEGER, n", (1, 1.5))
    node, types = database(URL, table="t", cursor="id"), {"id": "int64", "n": "float64"}
    bench.collect(node, types)
    table("", (2, text))
    message = bench.collect(node, types).message
    assert "n: float64 → string" in message
    assert bench.column("n") == ["1.5", text]


def test_a_code_keeps_its_zeros(bench, table):
    table("id INTEGER, n", (1, 1))
    node, types = database(URL, table="t", cursor="id"), {"id": "int64", "n": "int64"}
    bench.collect(node, types)
    table("", (2, "007"))
    assert "n: int64 → string" in bench.collect(node, types).message
    assert bench.column("n") == ["1", "007"]


CURSORS = [
    ("TEXT", "int64", ["9", "10", "100"]),
    ("", "int64", ["9", 10, "100"]),
    ("TEXT", "float64", ["9.5", "10.25", "1e3"]),
    ("TEXT", "decimal(38, 2)", ["9.50", "10.25", "100"]),
    ("TEXT", "date", ["2013-01-09", "2013-01-10", "2013-02-01"]),
    ("TEXT", INSTANT, ["2013-01-01T10:00:00Z", "2013-01-01 10:00:01", "2013-01-01T09:00:02-01:00"]),
    ("DATETIME", INSTANT, ["2013-01-01 10:00:00.000001", "2013-01-01 10:00:00.000002", "2013-01-01T10:00:00.000003"]),
    ("TEXT", "string", ["B", "a", "é"]),
    ("INTEGER", "int64", [9007199254740992, 9007199254740993, 9007199254740994]),
]


@pytest.mark.parametrize(("declared", "type", "values"), CURSORS)
def test_a_cursor_compares_as_what_it_means(bench, table, declared, type, values):
    node = database(URL, table="t", cursor="n", schema={"n": type})
    for number, value in enumerate(values, start=1):
        table(f"id INTEGER, n {declared}", (number, value))
        assert bench.collect(node).rows_in == 1
    assert bench.collect(node).message == "nothing new"
    assert bench.column("id") == [1, 2, 3]


def test_a_cursor_that_cannot_be_read_is_an_error(bench, table):
    table("id INTEGER, at DATETIME", (1, "2013-01-01 10:00:00"))
    node = database(URL, table="t", cursor="at")
    bench.collect(node)
    table("", (2, "yesterday"))
    with pytest.raises(SourceError, match="at: timestamp"):
        bench.collect(node)


def test_a_date_column_of_instants_and_dates(bench, table):
    table("d DATE", ("2013-01-01",), (None,))
    node = database(URL, table="t")
    assert introspect(node, bench.root, bench.engine) == {"d": "date"}
    bench.collect(node)
    assert bench.column("d") == [date(2013, 1, 1), None]


def test_a_database_that_is_locked_may_pass(bench, table):
    table("id INTEGER", (1,))
    with closing(sqlite3.connect(bench.root / "t.db")) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SourceUnreachable) as error:
            bench.collect(database(URL, table="t"), {"id": "int64"})
    assert error.value.transient and "locked" in error.value.got


def test_a_cursor_that_is_no_value_is_set_aside_once_and_the_others_go_on(bench, table):
    node = database(URL, table="t", cursor="at", contract="quarantine")
    types = {"id": "string", "at": INSTANT}
    table("id TEXT, at DATETIME", ("a1", "2026-01-01 10:00:00"))
    bench.collect(node, types)
    table("", ("b1", "2026-01-02 10:00:00"), ("b2", 1356998400), ("b3", "2026-01-03 10:00:00"))
    outcome = bench.collect(node, types)
    assert (outcome.rows_in, outcome.quarantined) == (3, 1)
    table("", ("c1", "2026-01-04 10:00:00"))
    outcome = bench.collect(node, types)
    assert (outcome.rows_in, outcome.quarantined) == (1, 0)
    assert bench.column("id") == ["a1", "b1", "b3", "c1"]


@pytest.mark.parametrize(
    ("type", "other", "key"),
    [("string", "0", 'a"b'), ("int64", 1, 7), (INSTANT, "2026-01-01 00:00:00", "2026-01-01T05:00:00Z")],
)
def test_a_row_set_aside_leaves_when_its_key_comes_again(bench, table, type, other, key):
    node = database(URL, table="t", key="k", cursor="at", write="merge", contract="quarantine")
    types = {"k": type, "n": "int64", "at": INSTANT}
    table("k, n, at TEXT", (other, 1, "2026-01-01 10:00:00"), (key, "many", "2026-01-02 10:00:00"))
    assert bench.collect(node, types).quarantined == 1
    with closing(sqlite3.connect(bench.root / "t.db")) as connection, connection:
        connection.execute("UPDATE t SET n = 3, at = '2026-01-03 10:00:00' WHERE n = 'many'")
    bench.collect(node, types)
    assert bench.rows("quarantine.source") == []
    assert sorted(bench.column("n")) == [1, 3]
