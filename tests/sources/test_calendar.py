"""Instants outside the years 1 to 9999, by every road that rows come in: set aside with their reason."""

import sqlite3
from contextlib import closing
from typing import Any

import duckdb
import pytest

import mainstem as ms

SCHEMA = {"id": "int64", "at": "timestamp('UTC', 6)"}
GOOD = "TIMESTAMPTZ '2024-05-01 12:00:00+00'"
FIRST, LAST = "TIMESTAMPTZ '0001-01-01 00:00:00+00'", "TIMESTAMPTZ '9999-12-31 23:59:59.999999+00'"
BEYOND = {
    "before the first": "TIMESTAMPTZ '0001-01-01 00:00:00+01'",
    "after the last": "TIMESTAMPTZ '9999-12-31 23:59:59-05'",
    "far": "TIMESTAMPTZ '200000-01-01 00:00:00+00'",
    "infinity": "'infinity'::TIMESTAMPTZ",
    "minus infinity": "'-infinity'::TIMESTAMPTZ",
}
SAID = {
    "before the first": "0001-12-31 (BC) 23:00:00",
    "after the last": "10000-01-01 04:59:59",
    "far": "200000-01-01 00:00:00",
    "infinity": "infinity",
    "minus infinity": "-infinity",
}


def parquet(bench: Any, *instants: str, kind: str = "TIMESTAMPTZ") -> None:
    rows = ", ".join(f"({n}, {instant})" for n, instant in enumerate(instants))
    query = f"SELECT id, CAST(moment AS {kind}) AS at FROM (VALUES {rows}) r(id, moment)"
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{bench.root}/r.parquet'")


@pytest.mark.parametrize("case", BEYOND)
def test_a_file_with_an_instant_beyond_the_calendar_sets_the_row_aside(bench: Any, case: str) -> None:
    parquet(bench, GOOD, BEYOND[case], FIRST, LAST, "NULL")
    made = bench.collect(ms.files("r.parquet", key="id", schema=SCHEMA))
    assert (made.rows_in, made.published, made.quarantined) == (5, 4, 1)
    assert sorted(bench.column("id")) == [0, 2, 3, 4]
    [found] = [check for check in made.checks if not check.passed]
    assert found.label == "in_calendar(at)" and found.violations == 1 and found.sample[0]["id"] == 1
    with bench.engine.session({"q": bench.lake.scan(bench.tables["quarantine.source"])}) as session:
        [kept] = session.fetch('SELECT id, _check, "at" FROM q').to_pylist()
    assert (kept["id"], kept["at"]) == (1, None)
    assert kept["_check"].startswith(f"in_calendar(at): at={SAID[case]}"), "no file can hold it, so the reason does"


def test_a_date_beyond_the_calendar_too(bench: Any) -> None:
    parquet(bench, "DATE '2024-05-01'", "DATE '12000-01-01'", "DATE '9999-12-31'", "NULL", kind="DATE")
    made = bench.collect(ms.files("r.parquet", key="id", schema={"id": "int64", "at": "date"}))
    assert (made.published, made.quarantined) == (3, 1) and sorted(bench.column("id")) == [0, 2, 3]


def test_a_file_inside_the_calendar_is_not_looked_through(bench: Any) -> None:
    parquet(bench, GOOD, FIRST, LAST)
    made = bench.collect(ms.files("r.parquet", key="id", schema=SCHEMA))
    assert made.quarantined == 0 and "in_calendar(at)" not in [check.label for check in made.checks]
    assert len(bench.rows()) == 3


def test_a_text_file_too(bench: Any) -> None:
    (bench.root / "r.csv").write_text("id,at\n0,2024-05-01T12:00:00Z\n1,0001-01-01T00:00:00+01:00\n")
    made = bench.collect(ms.files("r.csv", key="id", schema=SCHEMA))
    assert (made.published, made.quarantined) == (1, 1) and bench.column("id") == [0]


def test_a_database_too(bench: Any) -> None:
    with closing(sqlite3.connect(bench.root / "r.db")) as connection:
        connection.execute("CREATE TABLE r (id INTEGER, at TEXT)")
        connection.executemany(
            "INSERT INTO r VALUES (?, ?)", [(0, "2024-05-01T12:00:00Z"), (1, "9999-12-31T23:59:59-05:00")]
        )
        connection.commit()
    made = bench.collect(ms.database("sqlite:///r.db", table="r", key="id", schema=SCHEMA), SCHEMA)
    assert (made.published, made.quarantined) == (1, 1) and bench.column("id") == [0]
