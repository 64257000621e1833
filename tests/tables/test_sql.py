import ibis
import pytest

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.graph.fingerprint import of_expression
from mainstem.nodes.checks import Between, NotNull
from mainstem.tables.sql import bind, inputs
from mainstem.tables.sql_files import parse_file

LEGS = ibis.table({"id": "int64", "origin": "string", "delay": "float64", "gone": "timestamp('UTC', 6)"}, name="legs")
AIRPORTS = ibis.table({"faa": "string", "lat": "float64"}, name="airports")
BOTH = {"legs": LEGS, "airports": AIRPORTS}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SELECT * FROM legs", ("legs",)),
        ("FROM legs SELECT origin", ("legs",)),
        ("SELECT * FROM airports a JOIN legs l ON l.origin = a.faa", ("airports", "legs")),
        ("WITH few AS (SELECT * FROM legs) SELECT * FROM few", ("legs",)),
        ("WITH legs AS (SELECT * FROM legs) SELECT * FROM legs", ("legs",)),
        ("SELECT * FROM legs WHERE origin IN (SELECT faa FROM airports)", ("legs", "airports")),
        ("SELECT origin FROM legs UNION SELECT faa FROM airports", ("legs", "airports")),
        ("SELECT * FROM (PIVOT legs ON origin IN ('JFK') USING sum(delay))", ("legs",)),
        ("WITH p AS (SELECT * FROM legs) SELECT * FROM (PIVOT p ON origin IN ('JFK') USING sum(delay))", ("legs",)),
        ("SELECT * FROM (UNPIVOT airports ON lat INTO NAME what VALUE much)", ("airports",)),
    ],
)
def test_inputs_are_what_from_reads(text, names):
    assert inputs(text) == names


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        ("SELECT sum(id) AS n, avg(delay) AS d, count(*) AS c", {"n": "int64", "d": "float64", "c": "int64"}),
        ("SELECT id / 2 AS half, date_trunc('day', gone) AS day", {"half": "float64", "day": "timestamp('UTC', 6)"}),
        ("SELECT CASE WHEN id > 1 THEN 'a' END AS x, row_number() OVER () AS n", {"x": "string", "n": "int64"}),
    ],
)
def test_types_are_those_of_the_engine(text, schema):
    assert {name: str(type) for name, type in bind(f"{text} FROM legs", {"legs": LEGS}).schema().items()} == schema


def test_it_is_a_relation_like_any_other(shop):
    shop.store("legs", {"id": "int64", "origin": "string"}, [{"id": 1, "origin": "JFK"}, {"id": 2, "origin": "LGA"}])
    legs = ibis.table({"id": "int64", "origin": "string"}, name="legs")
    text = "SELECT DISTINCT l.origin FROM legs l, (SELECT max(id) AS top FROM legs) m WHERE l.id = m.top"
    corrected = legs.mutate(origin=legs.origin.lower())
    bound = bind(text, {"legs": corrected}).mutate(more=1)
    with shop.engine.session({"legs": shop.lake.scan(shop.tables["legs"])}) as session:
        assert session.fetch(bound).to_pylist() == [{"origin": "lga", "more": 1}]
        replaced = bind(text, {"legs": legs}).op().replace({legs.op(): legs.filter(legs.id < 2).op()}).to_expr()
        assert session.fetch(replaced).to_pylist() == [{"origin": "JFK"}]


PEOPLE = {"id": "int64", "boss": "int64", "team": "string", "pay": "int64"}


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (
            """WITH RECURSIVE up AS (
                 SELECT id, 1 AS depth FROM people WHERE boss IS NULL
                 UNION ALL SELECT p.id, up.depth + 1 FROM people p JOIN up ON p.boss = up.id)
               SELECT * FROM up ORDER BY id""",
            [{"id": 1, "depth": 1}, {"id": 2, "depth": 2}, {"id": 3, "depth": 3}],
        ),
        (
            "SELECT * FROM (PIVOT people ON team IN ('a', 'b') USING sum(pay) GROUP BY boss) ORDER BY boss NULLS FIRST",
            [{"boss": None, "a": 3, "b": None}, {"boss": 1, "a": 4, "b": None}, {"boss": 2, "a": None, "b": 5}],
        ),
        (
            "SELECT a, b FROM people PIVOT (sum(pay) FOR team IN ('a', 'b') GROUP BY boss) ORDER BY boss NULLS FIRST",
            [{"a": 3, "b": None}, {"a": 4, "b": None}, {"a": None, "b": 5}],
        ),
        (
            "WITH p AS (SELECT team, pay FROM people) SELECT * FROM (PIVOT p ON team IN ('a', 'b') USING max(pay))",
            [{"a": 4, "b": 5}],
        ),
        (
            "SELECT id, what, much FROM (UNPIVOT people ON boss, pay INTO NAME what VALUE much) ORDER BY id, what",
            [{"id": 1, "what": "pay", "much": 3}]
            + [{"id": n, "what": what, "much": much} for n, what, much in [(2, "boss", 1), (2, "pay", 4)]]
            + [{"id": n, "what": what, "much": much} for n, what, much in [(3, "boss", 2), (3, "pay", 5)]],
        ),
    ],
)
def test_recursion_and_pivots(shop, text, rows):
    given = [(1, None, "a", 3), (2, 1, "a", 4), (3, 2, "b", 5)]
    shop.store("people", PEOPLE, [dict(zip(PEOPLE, row, strict=True)) for row in given])
    bound = bind(text, {"people": ibis.table(PEOPLE, name="people")})
    # With one thread DuckDB 2.0 never ends a recursion over Parquet files whose columns are read by field id.
    engine = DuckdbEngine(threads=2)
    with engine.session({"people": shop.lake.scan(shop.tables["people"])}) as session:
        assert session.fetch(bound).to_pylist() == rows
        assert session.fetch(bound.mutate(more=1)).to_pylist() == [row | {"more": 1} for row in rows]


def test_formatting_and_comments_change_no_fingerprint():
    a = bind("SELECT id,origin FROM legs", {"legs": LEGS})
    b = bind("-- all of them\nSELECT id,\n  origin\nFROM legs;", {"legs": LEGS})
    c = bind("SELECT id, origin FROM legs WHERE id > 1", {"legs": LEGS})
    assert of_expression(a) == of_expression(b) != of_expression(c)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("SELECT orgin FROM legs", "unknown column 'orgin'"),
        ("SELECT legs.orgin FROM legs", "unknown column 'orgin'"),
        ("SELECT * FROM leg", "unknown node 'leg'"),
        ("SELECT FROM WHERE", "the SQL cannot be parsed"),
        ("SELECT 1; SELECT 2", "a SQL table must be one SELECT"),
        ("DROP TABLE legs", "a SQL table must be one SELECT"),
        ("", "a SQL table must be one SELECT"),
        ("SELECT origin + gone FROM legs", "the SQL does not fit its inputs"),
        ("SELECT id, origin AS ID FROM legs", "two columns have the name 'id'"),
        ("SELECT a.*, b.delay FROM legs a JOIN legs b USING (id)", "two columns have the name 'delay'"),
        ("SELECT id AS _id FROM legs", "'_id' is a reserved name"),
        (
            "SELECT CAST(gone AS TIMESTAMP) AS local FROM legs",
            "'local' is a naive timestamp, which could mean any time zone",
        ),
    ],
)
def test_what_is_refused(text, what):
    with pytest.raises((UnknownName, SchemaError)) as error:
        bind(text, BOTH, "t.sql:1")
    assert error.value.what == what
    assert error.value.where in ("t.sql:1", f"t.sql:1, line 1: {text}")


def test_a_file_says_more_in_its_first_comments(tmp_path):
    file = tmp_path / "busy.sql"
    file.write_text(
        "-- description: Airports by how busy they are.\n-- key: origin, day\n-- owner: data\n"
        '-- check: not_null(origin)\n-- check: between("n", 1, 900, severity="quarantine")\n'
        "-- assume_known: n: it is counted at once: we asked\n\n"
        "SELECT origin, 1 AS n FROM legs\n"
    )
    node = parse_file(file)
    assert (node.name, node.key, node.owner) == ("busy", ("origin", "day"), "data")
    assert node.description == "Airports by how busy they are."
    assert node.assume_known == {"n": "it is counted at once: we asked"}
    first, second = node.checks
    assert isinstance(first, NotNull) and first.columns == ("origin",)
    assert isinstance(second, Between) and (second.low, second.high, second.severity) == (1, 900, "quarantine")
    assert str(node.origin).startswith("busy.sql:1")


def test_an_assumption_has_a_reason(tmp_path):
    (tmp_path / "a.sql").write_text("-- key: x\n-- assume_known: x\nSELECT 1 AS x FROM legs")
    with pytest.raises(DefinitionError, match="an assumption requires a reason") as error:
        parse_file(tmp_path / "a.sql")
    assert error.value.where.startswith("a.sql:2")


def test_a_plain_first_comment_describes(tmp_path):
    (tmp_path / "a.sql").write_text("-- How each airline did.\nSELECT 1 AS x FROM legs")
    assert parse_file(tmp_path / "a.sql").description == "How each airline did."


@pytest.mark.parametrize("check", ["not_nul(x)", "not_null(", "between(x, open('f'))", "unique", "not_null(severity=)"])
def test_what_is_no_check(tmp_path, check):
    (tmp_path / "a.sql").write_text(f"-- key: x\n-- check: {check}\nSELECT 1 AS x FROM legs")
    with pytest.raises(DefinitionError) as error:
        parse_file(tmp_path / "a.sql")
    assert error.value.where.startswith("a.sql:2")
