"""PostgreSQL as a source: a real server, its types, its names, and how it refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from urllib.parse import quote, urlsplit

import pytest

from mainstem.errors import SourceError, SourceUnreachable
from mainstem.nodes.databases import database
from mainstem.nodes.tls import tls
from mainstem.sources.databases.postgresql import address, reason
from mainstem.sources.inspection import introspect, observe

INSTANT = "timestamp('UTC', 6)"
DIGITS = "123456789012345678901234567890.5"


@pytest.fixture
def server(postgresql):
    """The URL of a database, empty again afterwards, and what runs statements there."""
    import psycopg

    url = f"{postgresql}/postgres"

    def run(*statements):
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    run("CREATE SCHEMA IF NOT EXISTS public")
    yield url, run
    run("DROP SCHEMA public CASCADE", "DROP SCHEMA IF EXISTS crm CASCADE")


@pytest.fixture
def flights(server):
    url, run = server
    run(
        "CREATE TABLE flights (id bigint PRIMARY KEY, origin text, price numeric(12, 3), at timestamptz)",
        "INSERT INTO flights VALUES (1, 'JFK', 12.345, '2013-01-01 10:00:00+01'), (2, NULL, NULL, NULL)",
    )
    return url, run


def test_a_table_lands_and_is_replaced_when_it_changes(bench, flights):
    url, run = flights
    node = database(url, table="flights", key="id", known="always")
    assert introspect(node, bench.root, bench.engine) == {
        "id": "int64",
        "origin": "string",
        "price": "decimal(12, 3)",
        "at": INSTANT,
    }
    assert bench.collect(node).rows_in == 2
    assert bench.rows() == [
        {"id": 1, "origin": "JFK", "price": Decimal("12.345"), "at": datetime(2013, 1, 1, 9, tzinfo=UTC)},
        {"id": 2, "origin": None, "price": None, "at": None},
    ]
    assert bench.collect(node).message == "nothing new"
    run("DELETE FROM flights WHERE id = 1", "INSERT INTO flights VALUES (3, 'É')")
    bench.collect(node)
    assert bench.column("origin") == [None, "É"]
    assert observe(node, bench.root, None) is None  # only reading it tells


TYPES = [
    ("boolean", "true", "boolean", True),
    ("smallint", "-32768", "int64", -(2**15)),
    ("integer", "2147483647", "int64", 2**31 - 1),
    ("bigint", "-9223372036854775808", "int64", -(2**63)),
    ("oid", "4294967295", "int64", 2**32 - 1),
    ("real", "1.5", "float64", 1.5),
    ("double precision", "'Infinity'", "float64", float("inf")),
    ("numeric(12, 3)", "-123456789.125", "decimal(12, 3)", Decimal("-123456789.125")),
    ("numeric(38, 0)", "9" * 38, "decimal(38, 0)", Decimal("9" * 38)),
    ("numeric", "0.1", "float64", 0.1),
    ("numeric(60, 2)", "0.25", "float64", 0.25),
    ("text", "'é \"quoted\"'", "string", 'é "quoted"'),
    ("varchar(3)", "'abc'", "string", "abc"),
    ("char(3)", "'c'", "string", "c"),
    ("timestamptz", "'2013-03-10 02:30:00.000001 America/New_York'", INSTANT, datetime(2013, 3, 10, 7, 30, 0, 1, UTC)),
    ("date", "'2013-02-28'", "date", date(2013, 2, 28)),
    ("time", "'23:59:59.999999'", "time", time(23, 59, 59, 999_999)),
    ("timetz", "'10:00+01'", "string", "10:00:00+01"),
    ("interval", "'1 day 2 hours'", "string", "1 day 02:00:00"),
    ("bytea", r"'\x00ff'", "binary", b"\x00\xff"),
    ("uuid", "'00000000-0000-0000-0000-00000000000A'", "string", "00000000-0000-0000-0000-00000000000a"),
    ("json", """'{"a": [1, null]}'""", "string", '{"a": [1, null]}'),
    ("jsonb", """'{"a":[1,null]}'""", "string", '{"a": [1, null]}'),
    ("integer[]", "'{1,NULL,3}'", "string", "[1,null,3]"),
    ("text[][]", "'{{a,b},{c,d}}'", "string", '[["a","b"],["c","d"]]'),
    ("mood", "'glad'", "string", "glad"),
    ("pair", "(1, 'a')", "string", '{"n":1,"s":"a"}'),
    ("inet", "'127.0.0.1'", "string", "127.0.0.1/32"),
    ("int4range", "'[1,5)'", "string", "[1,5)"),
    ("xml", "'<a/>'", "string", "<a/>"),
]


def test_every_type_becomes_one_that_can_be_stored(bench, server):
    url, run = server
    columns = ", ".join(f"c{n} {kind}" for n, (kind, *_) in enumerate(TYPES))
    values = ", ".join(value for _, value, *_ in TYPES)
    run(
        "CREATE TYPE mood AS ENUM ('glad', 'sad')",
        "CREATE TYPE pair AS (n int, s text)",
        f"CREATE TABLE kinds (id int, {columns})",
        f"INSERT INTO kinds VALUES (1, {values})",
        "INSERT INTO kinds VALUES (2)",
    )
    node = database(url, table="kinds", key="id")
    schema = introspect(node, bench.root, bench.engine)
    assert {kind: schema[f"c{n}"] for n, (kind, *_) in enumerate(TYPES)} == {kind: type for kind, _, type, _ in TYPES}
    bench.collect(node)
    first, second = bench.rows()
    assert {kind: first[f"c{n}"] for n, (kind, *_) in enumerate(TYPES)} == {kind: value for kind, *_, value in TYPES}
    assert {value for name, value in second.items() if name != "id"} == {None}


@pytest.mark.parametrize(
    ("kind", "what", "hint"),
    [
        (
            "timestamp",
            "'x' has an ambiguous type: timestamp without time zone",
            "schema={'x': \"timestamp('UTC', 6)\"}, "
            "or query=\"SELECT …, x AT TIME ZONE 'America/New_York' AS x FROM …\"",
        ),
        (
            "money",
            "'x' has an ambiguous type: money, whose decimals depend on the server's settings",
            'schema={\'x\': "decimal(18, 2)"}, or query="SELECT …, x::numeric AS x FROM …"',
        ),
    ],
)
def test_a_type_that_could_mean_anything_is_refused(bench, server, kind, what, hint):
    url, run = server
    run(f"CREATE TABLE t (id int, x {kind})")
    with pytest.raises(SourceError) as error:
        introspect(database(url, table="t"), bench.root, bench.engine)
    assert (error.value.what, error.value.got, error.value.hint) == (what, kind, hint)


def test_unless_the_source_says_what_it_means(bench, server):
    url, run = server
    run(
        "CREATE TABLE t (id int, at timestamp, price money, big numeric)",
        f"INSERT INTO t VALUES (1, '2013-01-01 10:00', 3.20::numeric::money, {DIGITS})",
    )
    bench.collect(database(url, table="t", schema={"at": INSTANT, "price": "decimal(18, 2)", "big": "string"}))
    at = datetime(2013, 1, 1, 10, tzinfo=UTC)
    assert bench.rows() == [{"id": 1, "at": at, "price": Decimal("3.20"), "big": DIGITS}]


def test_a_query_says_what_it_means(bench, server):
    url, run = server
    run("CREATE TABLE t (at timestamp)", "INSERT INTO t VALUES ('2013-01-01 10:00')")
    node = database(url, query="SELECT at AT TIME ZONE 'America/New_York' AS at FROM t")
    bench.collect(node)
    assert bench.rows() == [{"at": datetime(2013, 1, 1, 15, tzinfo=UTC)}]


@pytest.mark.parametrize("value", ["infinity", "-infinity", "0044-03-15 BC"])
@pytest.mark.parametrize("kind", ["timestamptz", "date"])
def test_an_instant_outside_of_the_calendar_is_refused(bench, server, kind, value):
    url, run = server
    run(f"CREATE TABLE t (at {kind})", f"INSERT INTO t VALUES ('2013-01-01'), ('{value}')")
    with pytest.raises(SourceError, match="'at' has an instant outside the calendar") as error:
        bench.collect(database(url, table="t"))
    assert error.value.expected and "NULLIF" in str(error.value.hint)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("timestamptz", ["2013-01-01 10:00+01", "2013-01-01 10:00:00.000001+01", "2014-01-01 00:00Z"]),
        ("timestamp", ["2013-01-01 10:00", "2013-01-01 10:00:00.000001", "2014-01-01"]),
        ("date", ["2013-01-01", "2013-01-09", "2013-01-10"]),
        ("bigint", ["9", "10", "100"]),
        ("numeric(30, 4)", ["9.5", "10.0001", "99999999999999999999.9"]),
        ("double precision", ["0.1", "0.30000000000000004", "1e300"]),
        ("uuid", ["00000000-0000-0000-0000-000000000009", "00000000-0000-0000-0000-00000000000a", f"{'f' * 32}"]),
        ("text", ["A", "a", "é"]),
    ],
)
def test_with_a_cursor_only_new_rows_are_read_also_late_ones_at_the_last_value(bench, server, kind, values):
    url, run = server
    first, second, third = values
    declared = {"c": INSTANT} if kind == "timestamp" else None
    node = database(url, table="log", cursor="c", schema=declared)
    collation = 'COLLATE "C"' if kind == "text" else ""
    run(f"CREATE TABLE log (id int, c {kind} {collation})")
    run(f"INSERT INTO log VALUES (1, '{first}'), (2, '{second}')")
    assert bench.collect(node).rows_in == 2
    assert bench.collect(node).message == "nothing new"
    run(f"INSERT INTO log VALUES (3, '{second}'), (4, '{third}'), (5, '{first}')")
    assert bench.collect(node).rows_in == 2  # not the one before the last value
    assert bench.collect(node).message == "nothing new"
    assert sorted(bench.column("id")) == [1, 2, 3, 4]


def test_names_are_quoted_and_a_schema_goes_before(bench, server):
    url, run = server
    run(
        "CREATE SCHEMA crm",
        'CREATE TABLE crm."Odd ""Name""" ("Select" int, "a b" uuid, "é" text)',
        """INSERT INTO crm."Odd ""Name\""" VALUES (1, NULL, 'x'), (2, NULL, 'y')""",
    )
    node = database(url, table='crm.Odd "Name"', cursor="Select", key="Select")
    assert bench.collect(node).rows_in == 2
    assert bench.rows()[0] == {"Select": 1, "a b": None, "é": "x"}
    assert bench.collect(node).message == "nothing new"


def test_many_rows_arrive_in_batches(bench, server):
    url, run = server
    run("CREATE TABLE many AS SELECT i AS id, md5(i::text) AS word FROM generate_series(1, 200000) AS i")
    assert bench.collect(database(url, table="many")).rows_in == 200_000
    assert sum(bench.column("id")) == 200_000 * 200_001 // 2


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────────


def test_no_table(bench, server):
    url, _ = server
    with pytest.raises(SourceError) as error:
        introspect(database(url, table="crm.plans"), bench.root, bench.engine)
    assert error.value.what == "the database refused the query"
    assert error.value.got == 'relation "crm.plans" does not exist'
    assert error.value.expected == 'an answer to SELECT * FROM "crm"."plans" AS source LIMIT 0'
    assert error.value.hint == 'check the table\'s name: table="SCHEMA.TABLE"'


def test_a_column_that_is_gone(bench, flights):
    url, run = flights
    node = database(url, table="flights", key="id", known="always")
    schema = introspect(node, bench.root, bench.engine)
    run("ALTER TABLE flights RENAME origin TO origins")
    outcome = bench.collect(node, schema)
    assert outcome.message == "new column origins (string), since flights; no column origin, null"
    assert set(bench.column("origin")) == {None} and "JFK" in bench.column("origins")


def test_a_column_that_became_wider(bench, flights):
    url, run = flights
    node = database(url, table="flights")
    schema = introspect(node, bench.root, bench.engine)
    run("ALTER TABLE flights ALTER price TYPE numeric(12, 5)", "UPDATE flights SET price = 0.00001")
    with pytest.raises(SourceError, match=r"price: decimal\(12, 3\) → decimal\(14, 5\)"):
        bench.collect(database(url, table="flights", contract="freeze"), schema)
    assert bench.collect(node, schema).message == "price: decimal(12, 3) → decimal(14, 5), since flights: '0.00001'"
    assert set(bench.column("price")) == {Decimal("0.00001")}
    run("SET lock_timeout = '30s'; DROP TABLE flights")  # nothing of the failed read is left to keep it


def test_a_query_that_fails_while_it_is_read(bench, server):
    url, _ = server
    node = database(url, query="SELECT 1 / (100000 - i) AS n FROM generate_series(1, 200000) i")
    with pytest.raises(SourceError) as error:
        bench.collect(node)
    assert error.value.what == "the database refused the query" and "division by zero" in str(error.value.got)


@pytest.mark.parametrize("password", ["wrong", "wr@ng/"])
def test_a_wrong_password_is_said_and_not_shown(bench, server, monkeypatch, password):
    url, run = server
    run("DROP ROLE IF EXISTS guarded", "CREATE ROLE guarded LOGIN PASSWORD 's3cret/@'")
    monkeypatch.setenv("DB_PASSWORD", quote(password, safe=""))
    node = database(url.replace("mainstem@", "guarded:${env:DB_PASSWORD}@"), table="t")
    with pytest.raises(SourceUnreachable) as error:
        bench.collect(node, {"a": "int64"})
    assert error.value.what == "the database refuses the login"
    assert error.value.got == 'password authentication failed for user "guarded"'
    assert error.value.hint == "check the user and the password"
    assert password not in str(error.value) and quote(password, safe="") not in str(error.value)


def test_the_right_password_is_let_in(bench, server, monkeypatch):
    url, run = server
    run(
        "DROP ROLE IF EXISTS guarded",
        "CREATE ROLE guarded LOGIN PASSWORD 's3cret/@'",
        "CREATE TABLE t (n int)",
        "GRANT ALL ON SCHEMA public TO guarded",
        "GRANT SELECT ON t TO guarded",
        "INSERT INTO t VALUES (7)",
    )
    monkeypatch.setenv("DB_PASSWORD", quote("s3cret/@", safe=""))
    bench.collect(database(url.replace("mainstem@", "guarded:${env:DB_PASSWORD}@"), table="t"))
    assert bench.column("n") == [7]
    run("REVOKE ALL ON t FROM guarded", "REVOKE ALL ON SCHEMA public FROM guarded", "DROP ROLE guarded")


@pytest.mark.parametrize(
    ("url", "got"),
    [
        ("postgresql://me:hidden@127.0.0.1:9/db", "port 9 failed: Connection refused"),
        ("postgresql://me:hidden@nohost.invalid/db", "nohost.invalid"),
    ],
)
def test_a_server_that_is_down(bench, url, got):
    with pytest.raises(SourceUnreachable) as error:
        bench.collect(database(url, table="t"), {"a": "int64"})
    assert error.value.what == "the database cannot be reached"
    assert got in str(error.value.got)
    assert error.value.expected and error.value.hint == "check the server and the url"
    assert "hidden" not in str(error.value)


@pytest.mark.parametrize("url", ["postgresql://me:hid@den@127.0.0.1:9/db", "postgresql://me:hid/den@127.0.0.1:9/db"])
def test_a_password_that_is_not_percent_encoded(bench, url):
    with pytest.raises(SourceError, match="the password in the url is not percent-encoded") as error:
        bench.collect(database(url, table="t"), {"a": "int64"})
    assert error.value.where == "postgresql://me:…@127.0.0.1:9/db"


def test_a_database_that_is_not_there(bench, postgresql):
    with pytest.raises(SourceUnreachable) as error:
        bench.collect(database(f"{postgresql}/nowhere", table="t"), {"a": "int64"})
    assert error.value.got == 'database "nowhere" does not exist'


def test_what_the_driver_says_first_is_left_out():
    said = 'NOT_FOUND: Failed to prepare query: ERROR:  relation "x" does not exist\nLINE 1: SELECT\n'
    assert reason(Exception(said)) == 'relation "x" does not exist'


def test_rows_are_merged_by_key(bench, server):
    url, run = server
    run(
        "CREATE TABLE orders (id text PRIMARY KEY, at timestamptz, gone boolean)",
        "INSERT INTO orders VALUES ('a', '2013-01-01Z', false), ('b', '2013-01-01Z', false)",
    )
    node = database(url, table="orders", key="id", cursor="at", lag="1h", deleted="gone")
    bench.collect(node)
    assert bench.collect(node).message == "nothing new"
    run("UPDATE orders SET at = '2013-01-02Z', gone = id = 'a'")
    assert bench.collect(node).message == "1 merged by id, 1 removed"
    assert bench.column("id") == ["b"]


def test_a_cursor_of_texts_compares_their_bytes(bench, server):
    url, run = server
    run('CREATE TABLE log (id int, n text COLLATE "und-x-icu")', "INSERT INTO log VALUES (1, 'B')")
    node = database(url, table="log", cursor="n")
    bench.collect(node)
    run("INSERT INTO log VALUES (2, 'a')", "INSERT INTO log VALUES (3, 'A')")
    assert bench.collect(node).rows_in == 1
    assert bench.column("id") == [1, 2]


def test_a_server_that_goes_away_in_the_middle(bench, server, cut):
    url, run = server
    run("CREATE TABLE t AS SELECT n AS id, repeat('x', 90) AS s FROM generate_series(1, 200000) n")
    port = urlsplit(url).port
    proxy = cut(port)
    node = database(url.replace(str(port), str(proxy.own)), table="t", key="id", write="merge", cursor="id")
    types = introspect(node, bench.root, bench.engine)
    proxy.after = 5_000_000
    with pytest.raises(SourceUnreachable, match="the connection to the database was lost") as error:
        bench.collect(node, types)
    assert error.value.transient and proxy.cuts == 1 and not bench.tables
    bench.collect(node, types)
    assert bench.tables["source"].rows == 200_000


def test_tls_settings_are_those_of_libpq(tmp_path):
    said = address("postgresql://h/d", tls(ca="ca.pem", cert="me.pem", key="me.key"), tmp_path)
    place = quote(str(tmp_path), safe="")
    wanted = f"sslmode=verify-full&sslrootcert={place}%2Fca.pem&sslcert={place}%2Fme.pem&sslkey={place}%2Fme.key"
    assert said == f"postgresql://h/d?connect_timeout=10&{wanted}"
    assert address("postgresql://h/d", tls()).endswith("sslmode=verify-full&sslrootcert=system")
    assert address("postgresql://h/d", tls(verify=False)).endswith("&sslmode=require")


def test_a_server_without_tls_is_refused_if_it_is_asked_for(bench, postgresql):
    with pytest.raises(SourceUnreachable) as error:
        bench.collect(database(f"{postgresql}/postgres", table="t", tls=tls(verify=False)), {"a": "int64"})
    assert "SSL" in error.value.got
