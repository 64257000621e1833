"""A DuckDB file as a source: its types, a cursor, a merge, and what its SQL may not read."""

from datetime import UTC, date, datetime, time
from decimal import Decimal

import duckdb
import pytest

from mainstem.errors import SourceError, SourceUnreachable
from mainstem.nodes.databases import database
from mainstem.sources.inspection import introspect, observe

URL = "duckdb:///data.duckdb"
INSTANT = "timestamp('UTC', 6)"


@pytest.fixture
def run(bench):
    def call(*statements):
        with duckdb.connect(bench.root / "data.duckdb") as connection:
            for statement in statements:
                connection.execute(statement)

    return call


TYPES = [
    ("BOOLEAN", "true", "boolean", True),
    ("UTINYINT", "255", "int64", 255),
    ("BIGINT", "-9223372036854775808", "int64", -(2**63)),
    ("UBIGINT", "18446744073709551615", "decimal(20, 0)", Decimal(2**64 - 1)),
    ("HUGEINT", "170141183460469231731687303715884105727", "string", str(2**127 - 1)),
    ("FLOAT", "0.5", "float64", 0.5),
    ("DOUBLE", "0.1", "float64", 0.1),
    ("DECIMAL(38, 10)", "1234567890123456789012345678.0123456789", "decimal(38, 10)", None),
    ("VARCHAR", "'é'", "string", "é"),
    ("BLOB", r"'\x00\xFF'::BLOB", "binary", b"\x00\xff"),
    ("DATE", "'2013-02-28'", "date", date(2013, 2, 28)),
    ("TIME", "'23:59:59.999999'", "time", time(23, 59, 59, 999_999)),
    ("TIMESTAMPTZ", "'2013-01-01 10:00:00.000001+01'", INSTANT, datetime(2013, 1, 1, 9, 0, 0, 1, UTC)),
    ("UUID", "'00000000-0000-0000-0000-00000000000a'", "string", "00000000-0000-0000-0000-00000000000a"),
    ("INTERVAL", "INTERVAL 1 DAY", "string", "1 day"),
    ("INTEGER[]", "[1, NULL]", "string", "[1,null]"),
    ("STRUCT(n INTEGER, s VARCHAR)", "{'n': 1, 's': 'a'}", "string", '{"n":1,"s":"a"}'),
    ("MAP(VARCHAR, INTEGER)", "MAP {'a': 1}", "string", '{"a":1}'),
    ("ENUM('glad', 'sad')", "'glad'", "string", "glad"),
]


def test_every_type_becomes_one_that_can_be_stored(bench, run):
    columns = ", ".join(f"c{n} {kind}" for n, (kind, *_) in enumerate(TYPES))
    values = ", ".join(value for _, value, *_ in TYPES)
    run(f"CREATE TABLE kinds (id INTEGER, {columns})", f"INSERT INTO kinds VALUES (1, {values})")
    run("INSERT INTO kinds (id) VALUES (2)")
    node = database(URL, table="kinds", key="id")
    schema = introspect(node, bench.root, bench.engine)
    assert [schema[f"c{n}"] for n in range(len(TYPES))] == [type for _, _, type, _ in TYPES]
    bench.collect(node)
    first, second = bench.rows()
    wanted = [Decimal(sql) if value is None else value for _, sql, _, value in TYPES]
    assert [first[f"c{n}"] for n in range(len(TYPES))] == wanted
    assert {value for name, value in second.items() if name != "id"} == {None}
    assert bench.collect(node).message == "nothing new"


def test_a_timestamp_could_mean_anything_unless_the_source_says_it(bench, run):
    run("CREATE TABLE t AS SELECT TIMESTAMP '2013-01-01 10:00:00' AS x")
    with pytest.raises(SourceError, match="'x' has an ambiguous type: timestamp without time zone"):
        introspect(database(URL, table="t"), bench.root, bench.engine)
    bench.collect(database(URL, table="t", schema={"x": INSTANT}))
    assert bench.column("x") == [datetime(2013, 1, 1, 10, tzinfo=UTC)]


def test_a_change_is_observed_and_merged(bench, run):
    run("CREATE TABLE t (id INTEGER, s VARCHAR, seen TIMESTAMPTZ)")
    run("INSERT INTO t VALUES (1, 'a', '2013-01-01 10:00+00')")
    node = database(URL, table="t", key="id", cursor="seen", write="merge")
    snapshot = bench.collect(node).tables["source"]
    assert observe(node, bench.root, snapshot.cursor) == snapshot.properties["mainstem.observed"]
    run("UPDATE t SET s = 'b', seen = '2013-01-02 10:00+00'", "INSERT INTO t VALUES (2, 'c', '2013-01-02 10:00+00')")
    assert observe(node, bench.root, snapshot.cursor) != snapshot.properties["mainstem.observed"]
    assert bench.collect(node).message == "2 merged by id"
    assert bench.column("s") == ["b", "c"]
    assert bench.collect(node).message == "nothing new"


def test_no_other_file_is_read(bench, run):
    run("CREATE TABLE t (id INTEGER)")
    (bench.root / "secret.csv").write_text("a\n1\n")
    with pytest.raises(SourceError, match="the database refused the query"):
        bench.collect(database(URL, query=f"SELECT * FROM '{bench.root / 'secret.csv'}'"), {"a": "int64"})


def test_a_file_that_is_written_or_missing(bench, run):
    with pytest.raises(SourceUnreachable, match="the database file does not exist"):
        bench.collect(database("duckdb:///nowhere.duckdb", table="t"), {"a": "int64"})
    (bench.root / "data.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(SourceUnreachable, match="the database file cannot be opened"):
        bench.collect(database(URL, table="t"), {"a": "int64"})
