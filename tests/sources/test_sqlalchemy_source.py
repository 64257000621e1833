"""Another database, by a URL of SQLAlchemy: SQLite under the name of a database that Mainstem does not know."""

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from mainstem.errors import SourceError, SourceUnreachable
from mainstem.nodes.databases import database
from mainstem.nodes.tls import tls
from mainstem.sources.inspection import introspect

INSTANT = "timestamp('UTC', 6)"


class Other(SQLiteDialect_pysqlite):
    name = "other"
    supports_statement_cache = True


registry.register("other", __name__, "Other")


@pytest.fixture
def other(bench):
    """The URL of the database, and what runs statements there."""
    file = bench.root / "other.db"

    def run(*statements):
        with closing(sqlite3.connect(file)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    return f"other:///{file}", run


def test_a_table_has_the_types_that_the_database_names(bench, other):
    url, run = other
    run(
        "CREATE TABLE t (id BIGINT, price NUMERIC(12, 3), d DATE, at DATETIME, ok BOOLEAN, x FLOAT, s VARCHAR(9), "
        "b BLOB)",
        "INSERT INTO t VALUES (1, 1.125, '2013-01-01', '2013-01-01 10:00:00.000001', 1, 0.5, 'é:x', x'00ff')",
        "INSERT INTO t (id) VALUES (2)",
    )
    node = database(url, table="t", key="id")
    with pytest.raises(SourceError, match="'at' has an ambiguous type"):
        introspect(node, bench.root, bench.engine)
    node = database(url, table="t", key="id", schema={"at": INSTANT})
    assert introspect(node, bench.root, bench.engine) == {
        "id": "int64",
        "price": "decimal(12, 3)",
        "d": "date",
        "at": INSTANT,
        "ok": "boolean",
        "x": "float64",
        "s": "string",
        "b": "binary",
    }
    bench.collect(node)
    at = datetime(2013, 1, 1, 10, 0, 0, 1, UTC)
    values = [1, Decimal("1.125"), date(2013, 1, 1), at, True, 0.5, "é:x", b"\x00\xff"]
    assert list(bench.rows()[0].values()) == values
    assert list(bench.rows()[1].values()) == [2, *[None] * 7]
    assert bench.collect(node).message == "nothing new"


def test_a_query_has_the_types_of_its_values(bench, other):
    url, run = other
    run("CREATE TABLE t (id INTEGER, s TEXT)", "INSERT INTO t VALUES (1, 'a:b'), (2, 'c')")
    node = database(url, query="SELECT id, s, id / 2.0 AS half FROM t WHERE s LIKE '%:b' OR s <> ':x'")
    assert introspect(node, bench.root, bench.engine) == {"id": "int64", "s": "string", "half": "float64"}
    bench.collect(node)
    assert bench.rows() == [{"id": 1, "s": "a:b", "half": 0.5}, {"id": 2, "s": "c", "half": 1.0}]


def test_an_instant_of_a_query_without_a_time_zone_is_refused_unless_it_is_declared(bench, other):
    url, run = other
    run("CREATE TABLE t (id INTEGER, at TIMESTAMP)", "INSERT INTO t VALUES (1, '2013-01-01 10:00:00')")
    read = {"url": f"{url}?detect_types=1", "query": "SELECT id, at FROM t"}
    with pytest.raises(SourceError, match="'at' has an ambiguous type: an instant without time zone"):
        introspect(database(**read), bench.root, bench.engine)
    bench.collect(database(**read, schema={"at": INSTANT}))
    assert bench.column("at") == [datetime(2013, 1, 1, 10, tzinfo=UTC)]


def test_a_merge_by_a_cursor(bench, other):
    url, run = other
    run("CREATE TABLE t (id INTEGER, s TEXT, d DATE)", "INSERT INTO t VALUES (1, 'a', '2013-01-01')")
    node = database(url, table="t", key="id", cursor="d", lag="1d")
    bench.collect(node)
    run("UPDATE t SET s = 'b', d = '2013-01-03'", "INSERT INTO t VALUES (2, 'c', '2013-01-02')")
    assert bench.collect(node).message == "2 merged by id"
    assert bench.column("s") == ["b", "c"]
    assert bench.collect(node).message == "nothing new"


def test_what_goes_wrong(bench, other):
    url, run = other
    run("CREATE TABLE t (id INTEGER)")
    types = {"id": "int64"}
    with pytest.raises(SourceError, match="the database refused the query"):
        bench.collect(database(url, table="nowhere"), types)
    with pytest.raises(SourceError, match="unsupported kind of database 'unheard'"):
        bench.collect(database("unheard://me:hidden@h/d", table="t"), types)
    with pytest.raises(SourceError, match="tls= does not apply"):
        bench.collect(database(url, table="t", tls=tls()), types)
    with pytest.raises(SourceUnreachable):
        bench.collect(database("other:////nowhere/at/all.db", table="t"), types)
