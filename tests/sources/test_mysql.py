"""MySQL and MariaDB as a source: a real server, its types, its names, TLS, and how it refuses or goes away."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from mainstem.errors import SourceError, SourceUnreachable
from mainstem.nodes.databases import database
from mainstem.nodes.tls import tls
from mainstem.sources.inspection import introspect, observe

INSTANT = "timestamp('UTC', 6)"


@pytest.fixture
def server(mariadb):
    """The server, empty again afterwards."""
    yield mariadb
    mariadb.run("DROP DATABASE test", "CREATE DATABASE test CHARACTER SET utf8mb4", database=None)


def test_a_table_lands_and_is_replaced_when_it_changes(bench, server):
    server.run(
        "CREATE TABLE flights (id bigint PRIMARY KEY, origin varchar(3), price decimal(12, 3), at timestamp NULL)",
        "INSERT INTO flights VALUES (1, 'JFK', 12.345, '2013-01-01 10:00:00'), (2, NULL, NULL, NULL)",
    )
    node = database(server.url, table="flights", key="id", known="always")
    assert introspect(node, bench.root, bench.engine) == {
        "id": "int64",
        "origin": "string",
        "price": "decimal(12, 3)",
        "at": INSTANT,
    }
    assert bench.collect(node).rows_in == 2
    zone = server.run("SELECT TIMESTAMPDIFF(HOUR, UTC_TIMESTAMP(), NOW())")[0][0]
    at = datetime(2013, 1, 1, 10 - zone, tzinfo=UTC)
    assert bench.rows()[0] == {"id": 1, "origin": "JFK", "price": Decimal("12.345"), "at": at}
    assert bench.collect(node).message == "nothing new"
    server.run("DELETE FROM flights WHERE id = 1", "INSERT INTO flights (id, origin) VALUES (3, 'É😀')")
    bench.collect(node)
    assert bench.column("origin") == [None, "É😀"]
    assert observe(node, bench.root, None) is None  # only reading it tells


TYPES = [
    ("tinyint(1)", "2", "int64", 2),
    ("tinyint unsigned", "255", "int64", 255),
    ("smallint", "-32768", "int64", -(2**15)),
    ("mediumint unsigned", "16777215", "int64", 2**24 - 1),
    ("int unsigned", "4294967295", "int64", 2**32 - 1),
    ("bigint", "-9223372036854775808", "int64", -(2**63)),
    ("bigint unsigned", "18446744073709551615", "decimal(20, 0)", Decimal(2**64 - 1)),
    ("float", "16777217", "float64", 16777216.0),
    ("float", "0.1", "float64", 0.10000000149011612),
    ("double", "0.1", "float64", 0.1),
    ("double", "1.7976931348623157e308", "float64", 1.7976931348623157e308),
    ("decimal(12, 3)", "-123456789.125", "decimal(12, 3)", Decimal("-123456789.125")),
    ("decimal(12, 3) unsigned", "123456789.125", "decimal(12, 3)", Decimal("123456789.125")),
    ("decimal(38, 0)", "9" * 38, "decimal(38, 0)", Decimal("9" * 38)),
    ("decimal(65, 30)", f"{'9' * 35}.{'1' * 30}", "string", f"{'9' * 35}.{'1' * 30}"),
    ("bit(1)", "b'1'", "boolean", True),
    ("bit(12)", "b'101'", "int64", 5),
    ("bit(64)", "0xffffffffffffffff", "decimal(20, 0)", Decimal(2**64 - 1)),
    ("date", "'2013-02-28'", "date", date(2013, 2, 28)),
    ("time(6)", "'-838:59:59.000001'", "string", "-838:59:59.000001"),
    ("year", "2013", "int64", 2013),
    ("timestamp(6)", "'2013-01-01 10:00:00.000001'", INSTANT, datetime(2013, 1, 1, 10, 0, 0, 1, UTC)),
    ("char(3)", "'c'", "string", "c"),
    ("varchar(9)", "'é😀\"'", "string", 'é😀"'),
    ("varchar(9) CHARACTER SET latin1", "'é'", "string", "é"),
    ("longtext", "'long'", "string", "long"),
    ("enum('glad', 'sad')", "'glad'", "string", "glad"),
    ("set('a', 'b')", "'a,b'", "string", "a,b"),
    ("json", """'{"a": [1, null]}'""", "string", '{"a": [1, null]}'),
    ("binary(2)", "0x00ff", "binary", b"\x00\xff"),
    ("longblob", "0x00ff", "binary", b"\x00\xff"),
    ("uuid", "'00000000-0000-0000-0000-00000000000a'", "string", "00000000-0000-0000-0000-00000000000a"),
    ("inet6", "'::1'", "string", "::1"),
    ("point", "ST_GeomFromText('POINT(1 2)')", "string", "POINT(1 2)"),
]


def test_every_type_becomes_one_that_can_be_stored(bench, server):
    columns = ", ".join(f"c{n} {kind} NULL" for n, (kind, *_) in enumerate(TYPES))
    values = ", ".join(value for _, value, *_ in TYPES)
    server.run(
        f"CREATE TABLE kinds (id int, {columns})",
        "SET time_zone = '+00:00'",
        f"INSERT INTO kinds VALUES (1, {values})",
        "INSERT INTO kinds (id) VALUES (2)",
    )
    for node in (
        database(server.url, table="kinds", key="id"),
        database(server.url, query="SELECT * FROM kinds;", key="id"),
    ):
        schema = introspect(node, bench.root, bench.engine)
        assert [schema[f"c{n}"] for n in range(len(TYPES))] == [type for _, _, type, _ in TYPES]
        bench.collect(node)
        first, second = bench.rows()
        assert [first[f"c{n}"] for n in range(len(TYPES))] == [value for *_, value in TYPES]
        assert {value for name, value in second.items() if name != "id"} == {None}


def test_a_datetime_could_mean_anything_unless_the_source_says_it(bench, server):
    server.run("CREATE TABLE t (id int, x datetime(6))", "INSERT INTO t VALUES (1, '2013-01-01 10:00:00.000001')")
    with pytest.raises(SourceError, match="'x' has an ambiguous type: datetime without time zone") as error:
        introspect(database(server.url, table="t"), bench.root, bench.engine)
    assert "timestamp('UTC', 6)" in error.value.hint
    bench.collect(database(server.url, table="t", schema={"x": INSTANT}))
    assert bench.column("x") == [datetime(2013, 1, 1, 10, 0, 0, 1, UTC)]


@pytest.mark.parametrize(
    ("kind", "zero"), [("date", "0000-00-00"), ("date", "2026-01-00"), ("timestamp", "0000-00-00 00:00:00")]
)
def test_a_zero_date(bench, server, kind, zero):
    server.run(
        f"CREATE TABLE t (id int, x {kind} NULL)",
        f"SET STATEMENT sql_mode = '' FOR INSERT INTO t VALUES (1, '{zero}'), (2, '2026-01-02 03:04:05')",
    )
    with pytest.raises(SourceError, match="'x' has a zero date") as error:
        bench.collect(database(server.url, table="t"))
    assert error.value.got == zero and "NULLIF(x, 0)" in error.value.hint
    outcome = bench.collect(database(server.url, table="t", contract="quarantine"))
    assert (outcome.published, outcome.quarantined) == (1, 1)
    assert zero in bench.rows("quarantine.source")[0]["_raw"]


def test_a_boolean_is_declared(bench, server):
    server.run("CREATE TABLE t (id int, x bool)", "INSERT INTO t VALUES (1, 1), (2, 0), (3, NULL)")
    bench.collect(database(server.url, table="t", schema={"x": "boolean"}))
    assert bench.column("x") == [True, False, None]
    server.run("INSERT INTO t VALUES (4, 2)")
    with pytest.raises(SourceError, match="'x' has a value that is not boolean"):
        bench.collect(database(server.url, table="t", schema={"x": "boolean"}))


CURSORS = [
    ("bigint", ["9007199254740992", "9007199254740993", "9007199254740994"]),
    ("bigint unsigned", ["9", "18446744073709551614", "18446744073709551615"]),
    ("decimal(20, 10)", ["1.0000000001", "1.0000000002", "10"]),
    ("double", ["0.1", "0.2", "10"]),
    ("timestamp(6)", [f"'2013-01-01 10:00:00.00000{n}'" for n in range(3)]),
    ("date", [f"'2013-01-0{n}'" for n in range(1, 4)]),
    ("varchar(9)", ["'B'", "'a'", "'é'' \\\\'"]),
]


@pytest.mark.parametrize(("kind", "values"), CURSORS)
def test_only_rows_beyond_the_cursor_are_read(bench, server, kind, values):
    server.run(f"CREATE TABLE log (id int, n {kind} NULL)", f"INSERT INTO log VALUES (1, {values[0]})")
    node = database(server.url, table="log", cursor="n")
    assert bench.collect(node).rows_in == 1
    for number, value in enumerate(values[1:], start=2):
        server.run(f"INSERT INTO log VALUES ({number}, {value})")
        assert bench.collect(node).rows_in == 1
    assert bench.collect(node).message == "nothing new"
    assert bench.column("id") == [1, 2, 3]


def test_rows_are_merged_by_key(bench, server):
    server.run(
        "CREATE TABLE `odd ``name``` (`id%` varchar(9) PRIMARY KEY, at timestamp(6), gone tinyint(1))",
        "INSERT INTO `odd ``name``` VALUES ('a', '2013-01-01', 0), ('b', '2013-01-01', 0)",
    )
    node = database(
        server.url, table="odd `name`", key="id%", cursor="at", lag="1h", deleted=lambda rows: rows["gone"] == 1
    )
    bench.collect(node)
    server.run("UPDATE `odd ``name``` SET at = '2013-01-02', gone = `id%` = 'a'")
    outcome = bench.collect(node)
    assert outcome.message == "1 merged by id%, 1 removed"
    assert bench.column("id%") == ["b"]


def test_a_query_with_a_percent_sign_and_a_cursor(bench, server):
    server.run("CREATE TABLE t (id int, s varchar(9))", "INSERT INTO t VALUES (1, 'a%s'), (2, 'b')")
    node = database(server.url, query="SELECT * FROM t WHERE s LIKE 'a%' -- 100%", cursor="id")
    bench.collect(node)
    server.run("INSERT INTO t VALUES (3, 'a')")
    bench.collect(node)
    assert bench.column("s") == ["a%s", "a"]


# ── the connection ────────────────────────────────────────────────────────────────────────────────────


def guarded(server, password="s3cret%2F%40", **more):
    return database(f"mysql://guarded:{password}@127.0.0.1:{server.port}/test", table="t", **more)


def test_tls(bench, server):
    server.run("CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
    (bench.root / "ca.pem").write_bytes(server.ca.read_bytes())
    bench.collect(guarded(server, tls=tls(ca="ca.pem")))
    assert bench.column("id") == [1]
    with pytest.raises(SourceUnreachable) as error:
        bench.collect(guarded(server, tls=tls()))
    assert "certificate" in error.value.got.lower()
    bench.collect(guarded(server, tls=tls(verify=False)))


def test_a_wrong_password_is_not_shown(bench, server, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    with pytest.raises(SourceUnreachable, match="the database refuses the login") as error:
        bench.collect(guarded(server, "${env:DB_PASSWORD}", tls=tls(verify=False)), {"id": "int64"})
    assert "hunter2" not in str(error.value)


def test_no_table(bench, server):
    with pytest.raises(SourceError, match="the database refused the query") as error:
        bench.collect(database(server.url, table="plans"), {"a": "int64"})
    assert "doesn't exist" in error.value.got and 'table="SCHEMA.TABLE"' in error.value.hint


def test_no_server(bench):
    with pytest.raises(SourceUnreachable, match="the database cannot be reached"):
        bench.collect(database("mysql://me:hidden@127.0.0.1:9/d", table="t"), {"a": "int64"})


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("mysql://me:hid@den@127.0.0.1:9/db", "the password in the url is not percent-encoded"),
        ("mysql://me@127.0.0.1:9/db?ssl=1", "the url has an unknown parameter"),
    ],
)
def test_a_url_that_is_not_one(bench, url, what):
    with pytest.raises(SourceError, match=what):
        bench.collect(database(url, table="t"), {"a": "int64"})


def test_a_server_that_goes_away_in_the_middle(bench, server, cut):
    server.run("CREATE TABLE t (id int PRIMARY KEY, s varchar(99))")
    server.run("INSERT INTO t SELECT seq, REPEAT('x', 90) FROM seq_1_to_200000")
    proxy = cut(server.port)
    node = database(f"mysql://mainstem@127.0.0.1:{proxy.own}/test", table="t", key="id", write="merge", cursor="id")
    types = introspect(node, bench.root, bench.engine)
    proxy.after = 5_000_000
    with pytest.raises(SourceUnreachable, match="the connection to the database was lost") as error:
        bench.collect(node, types)
    assert error.value.transient and proxy.cuts == 1 and not bench.tables
    bench.collect(node, types)
    assert bench.tables["source"].rows == 200_000
