"""One set of rules: what is written in SQL is traced as what is written in Ibis is; what cannot be is never said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import duckdb
import ibis
import pyarrow as pa
import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ibis import _

from mainstem.errors import SchemaError
from mainstem.graph.known import ALWAYS, Known, Moment
from mainstem.graph.lineage import trace as traced_in_ibis
from mainstem.graph.traces import Trace
from mainstem.tables import sql
from mainstem.tables.sql_values import is_drawn

DAY, HOUR = 86_400_000_000, 3_600_000_000
INSTANT = "timestamp('UTC', 6)"

flights = ibis.table(
    {
        "flight_id": "string",
        "tailnum": "string",
        "origin": "string",
        "scheduled_at": INSTANT,
        "departed_at": INSTANT,
        "dep_delay": "float64",
    },
    name="flights",
)
planes = ibis.table({"tailnum": "string", "Seats": "int64"}, name="planes")
weather = ibis.table({"origin": "string", "time_hour": INSTANT, "wind": "float64"}, name="weather")
TABLES = {"flights": flights, "planes": planes, "weather": weather}

PLANNED = Known.at("scheduled_at", -30 * DAY)
KNOWN = {
    "flights": {c: Known.at("departed_at") if c in ("departed_at", "dep_delay") else PLANNED for c in flights.columns},
    "planes": dict.fromkeys(planes.columns, ALWAYS),
    "weather": {c: Known.at("time_hour") for c in weather.columns},
}


def leaf(name: str) -> dict[str, Trace]:
    return {c: Trace(frozenset({f"{name}.{c}"}), known) for c, known in KNOWN[name].items()}


@cache
def traced(text: str) -> dict[str, Trace]:
    inputs = {name: TABLES[name] for name in sql.inputs(text)}
    return dict(sql.trace(text, inputs, leaf, sql.bind(text, inputs).columns))


def meaning(found: dict[str, Trace]) -> dict[str, tuple[list[str], str]]:
    """What a trace says; of what is unknown, that it is."""
    return {
        name: (sorted(t.sources), "unknown" if t.known.unknown else str(t.known)) for name, t in sorted(found.items())
    }


busy = flights.group_by("origin").agg(
    delay=_.dep_delay.mean(), n=_.count(), due=_.scheduled_at.max(), last=_.departed_at.max()
)

SAME = {
    "projection": (
        "SELECT origin AS airport, dep_delay * 60 AS seconds, scheduled_at AS at, departed_at FROM flights",
        flights.select(airport=_.origin, seconds=_.dep_delay * 60, at=_.scheduled_at, departed_at=_.departed_at),
    ),
    "a moved instant": (
        "SELECT origin, scheduled_at - INTERVAL '1 hour' AS cutoff FROM flights",
        flights.select("origin", cutoff=_.scheduled_at - ibis.interval(hours=1)),
    ),
    "a dropped instant": (
        "SELECT * EXCLUDE (departed_at) FROM flights",
        flights.drop("departed_at"),
    ),
    "expressions over several columns": (
        "SELECT *, CASE WHEN dep_delay > 15 THEN origin END AS late_from, 1 AS one FROM flights",
        flights.mutate(late_from=ibis.cases((_.dep_delay > 15, _.origin)), one=1),
    ),
    "where": (
        "SELECT origin, scheduled_at, departed_at FROM flights WHERE dep_delay IS NOT NULL AND origin <> 'JFK'",
        flights.filter(_.dep_delay.notnull(), _.origin != "JFK").select("origin", "scheduled_at", "departed_at"),
    ),
    "left join using": (
        "SELECT * FROM flights LEFT JOIN planes USING (tailnum)",
        flights.left_join(planes, "tailnum").drop("tailnum_right"),
    ),
    "natural join": (
        "SELECT * FROM flights NATURAL JOIN planes",
        flights.inner_join(planes, "tailnum"),
    ),
    "inner join of timed tables": (
        "SELECT f.*, w.wind, w.time_hour FROM flights AS f JOIN weather AS w ON f.origin = w.origin AND w.wind > 9",
        flights.inner_join(weather, ["origin", weather.wind > 9]).select(*flights.columns, "wind", "time_hour"),
    ),
    "equal instants": (
        "SELECT f.*, wind FROM flights f LEFT JOIN weather w ON w.origin = f.origin AND w.time_hour = f.scheduled_at",
        flights.left_join(
            weather, [weather.origin == flights.origin, weather.time_hour == flights.scheduled_at]
        ).select(*flights.columns, "wind"),
    ),
    "full join": (
        "SELECT scheduled_at, departed_at, time_hour, wind, f.origin FROM flights f FULL JOIN weather w USING (origin)",
        flights.outer_join(weather, "origin").select("scheduled_at", "departed_at", "time_hour", "wind", "origin"),
    ),
    "semi join": (
        "SELECT * FROM flights SEMI JOIN planes USING (tailnum)",
        flights.semi_join(planes, "tailnum"),
    ),
    "as-of join": (
        "SELECT f.*, w.wind FROM flights f "
        "ASOF LEFT JOIN weather w ON f.origin = w.origin AND f.scheduled_at >= w.time_hour",
        flights.asof_join(weather, on=("scheduled_at", "time_hour"), predicates="origin").select(
            *flights.columns, "wind"
        ),
    ),
    "three tables": (
        "SELECT f.*, Seats, wind, time_hour FROM flights f JOIN planes p ON p.tailnum = f.tailnum "
        "LEFT JOIN weather w ON w.origin = f.origin",
        flights.inner_join(planes, "tailnum").left_join(weather, "origin")[
            *flights.columns, "Seats", "wind", "time_hour"
        ],
    ),
    "group by": (
        "SELECT origin, avg(dep_delay) AS delay, count(*) AS n, max(scheduled_at) AS due, max(departed_at) AS last "
        "FROM flights GROUP BY origin",
        busy,
    ),
    "group by all": (
        "FROM flights SELECT origin, avg(dep_delay) AS delay, count(*) AS n, max(scheduled_at) AS due, "
        "max(departed_at) AS last GROUP BY ALL",
        busy,
    ),
    "group by a condition": (
        "SELECT dep_delay > 15 AS late, count(DISTINCT tailnum) AS n, max(scheduled_at) AS due, "
        "max(departed_at) AS last FROM flights GROUP BY 1",
        flights.group_by(late=_.dep_delay > 15).agg(
            n=_.tailnum.nunique(), due=_.scheduled_at.max(), last=_.departed_at.max()
        ),
    ),
    "aggregates without their instants": (
        "SELECT origin, sum(dep_delay) AS delay FROM flights GROUP BY origin",
        flights.group_by("origin").agg(delay=_.dep_delay.sum()),
    ),
    "filtered aggregates": (
        "SELECT scheduled_at, sum(Seats) FILTER (WHERE dep_delay > 15) AS seats, count(*) AS n, "
        "max(departed_at) AS last FROM flights JOIN planes USING (tailnum) GROUP BY scheduled_at",
        flights.inner_join(planes, "tailnum")
        .group_by("scheduled_at")
        .agg(seats=_.Seats.sum(where=_.dep_delay > 15), n=_.count(), last=_.departed_at.max()),
    ),
    "having": (
        "SELECT origin, max(scheduled_at) AS due, max(departed_at) AS last FROM flights GROUP BY origin "
        "HAVING avg(dep_delay) > 5",
        busy.filter(_.delay > 5).select("origin", "due", "last"),
    ),
    "aggregates of always": (
        "SELECT tailnum, count(*) AS n FROM planes GROUP BY tailnum",
        planes.group_by("tailnum").agg(n=_.count()),
    ),
    "window": (
        "SELECT *, sum(dep_delay) OVER (PARTITION BY origin) AS total, row_number() OVER () AS place FROM flights",
        flights.mutate(total=_.dep_delay.sum().over(group_by="origin"), place=ibis.row_number()),
    ),
    "window of always": (
        "SELECT *, rank() OVER (ORDER BY Seats) AS place FROM planes",
        planes.mutate(place=ibis.rank().over(order_by="Seats")),
    ),
    "qualify": (
        "SELECT * FROM flights QUALIFY row_number() OVER (PARTITION BY origin ORDER BY dep_delay DESC) = 1",
        flights.filter(ibis.row_number().over(group_by="origin", order_by=_.dep_delay.desc()) == 0),
    ),
    "the first of ordered rows": (
        "SELECT * FROM flights ORDER BY dep_delay DESC LIMIT 10",
        flights.order_by(_.dep_delay.desc()).limit(10),
    ),
    "the first of ordered rows that are read from a query": (
        "SELECT origin, scheduled_at FROM (SELECT * FROM flights ORDER BY dep_delay) LIMIT 10",
        flights.order_by("dep_delay").select("origin", "scheduled_at").limit(10),
    ),
    "ordered rows": (
        "SELECT * FROM flights ORDER BY dep_delay",
        flights.order_by("dep_delay"),
    ),
    "some rows": (
        "SELECT DISTINCT * FROM flights LIMIT 1000",
        flights.distinct().limit(1000),
    ),
    "union": (
        "SELECT origin, scheduled_at AS at FROM flights UNION ALL SELECT origin, departed_at FROM flights",
        flights.select("origin", at=_.scheduled_at).union(flights.select("origin", at=_.departed_at)),
    ),
    "union by name": (
        "SELECT origin, scheduled_at AS at FROM flights UNION BY NAME SELECT time_hour AS at, origin FROM weather",
        flights.select("origin", at=_.scheduled_at).union(weather.select("origin", at=_.time_hour), distinct=True),
    ),
    "except": (
        "SELECT tailnum FROM planes EXCEPT SELECT tailnum FROM flights",
        planes.select("tailnum").difference(flights.select("tailnum")),
    ),
    "with": (
        "WITH late AS (SELECT * FROM flights WHERE dep_delay > 15), few AS (SELECT origin AS o, departed_at FROM late) "
        "SELECT o, departed_at FROM few",
        flights.filter(_.dep_delay > 15).select(o="origin", departed_at="departed_at"),
    ),
    "a subquery as a value": (
        "SELECT *, (SELECT max(Seats) FROM planes) AS most, (SELECT max(dep_delay) FROM flights) AS worst FROM flights",
        flights.mutate(most=planes.Seats.max().as_scalar(), worst=flights.dep_delay.max().as_scalar()),
    ),
    "a subquery as a condition": (
        "SELECT * FROM planes WHERE tailnum IN (SELECT tailnum FROM flights)",
        planes.filter(_.tailnum.isin(flights.tailnum)),
    ),
    "a subquery of always as a condition": (
        "SELECT * FROM flights WHERE tailnum IN (SELECT tailnum FROM planes)",
        flights.filter(_.tailnum.isin(planes.tailnum)),
    ),
    "the clock and chance": (
        "SELECT *, now() AS now, random() AS draw FROM flights",
        flights.mutate(now=ibis.now(), draw=ibis.random()),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_sql_and_ibis_are_traced_alike(name: str) -> None:
    text, expression = SAME[name]
    assert meaning(traced(text)) == meaning(dict(traced_in_ibis(expression, leaf)))


def test_case_is_no_difference() -> None:
    assert traced("SELECT seats, TAILNUM FROM planes")["Seats"].sources == {"planes.Seats"}
    found = traced('SELECT "Origin", Scheduled_At AS "At" FROM flights')
    assert found["origin"].known == Known.at("At", -30 * DAY)


def test_names_are_found_where_they_are_meant() -> None:
    found = traced(
        "WITH flights AS (SELECT *, dep_delay AS d FROM flights) SELECT d AS origin, departed_at FROM flights"
    )
    assert found["origin"].sources == {"flights.dep_delay"}
    found = traced("SELECT origin AS x, x || '!' AS y, scheduled_at FROM flights WHERE y <> '!'")
    assert (found["y"].sources, found["y"].known) == ({"flights.origin"}, PLANNED)
    found = traced("SELECT tailnum AS n FROM planes UNION SELECT 'none' UNION ALL SELECT tailnum FROM flights")
    assert found["n"].sources == {"planes.tailnum", "flights.tailnum"} and found["n"].known.unknown


def test_a_window_that_is_named_is_read_too() -> None:
    text = "SELECT sum(Seats) OVER w AS s FROM planes LEFT JOIN flights USING (tailnum) WINDOW w AS (PARTITION BY {})"
    assert traced(text.format("dep_delay"))["s"].known.unknown
    assert traced("SELECT sum(Seats) OVER w AS s FROM planes WINDOW w AS (ORDER BY tailnum)")["s"].known == ALWAYS


def test_two_uses_of_one_table_are_told_apart() -> None:
    text = "SELECT a.flight_id, a.scheduled_at, b.dep_delay, b.departed_at, b.scheduled_at AS then FROM flights a "
    found = traced(text + "LEFT JOIN flights b ON a.tailnum = b.tailnum AND b.scheduled_at < a.scheduled_at")
    assert found["flight_id"].known == PLANNED
    assert found["dep_delay"].known.moments == {
        Moment("departed_at"), Moment("scheduled_at", -30 * DAY), Moment("then", -30 * DAY)
    }  # fmt: skip


def test_the_column_that_using_makes_of_two_is_one() -> None:
    text = "WITH f AS (SELECT scheduled_at AS at FROM flights), w AS (SELECT time_hour AS at, wind FROM weather) "
    text += "SELECT at, wind FROM f {} w"
    assert traced(text.format("LEFT JOIN") + " USING (at)")["wind"].known == Known.at("at")
    assert traced(text.format("RIGHT JOIN") + " USING (at)")["wind"].known == Known.at("at")
    assert traced(text.format("FULL JOIN") + " USING (at)")["wind"].known.unknown
    assert traced(text.format("ASOF JOIN") + " USING (at)")["wind"].known == Known.at("at")


def test_an_inner_as_of_join_tells_that_there_was_something() -> None:
    text = "SELECT f.* FROM flights f ASOF JOIN weather w ON f.origin = w.origin AND f.scheduled_at > w.time_hour"
    assert traced(text)["origin"].known == Known.at("scheduled_at")
    ahead = text.replace(">", "<").replace("f.*", "f.*, time_hour")
    assert Moment("time_hour") in traced(ahead)["origin"].known.moments


def test_subtotals_have_no_instant_in_place_of_the_group() -> None:
    text = "SELECT time_hour, max(wind) AS wind FROM weather GROUP BY "
    assert traced(text + "time_hour")["wind"].known == Known.at("time_hour")
    assert traced(text + "ROLLUP (time_hour)")["wind"].known.unknown


def test_distinct_on_compares_rows() -> None:
    text = "SELECT DISTINCT ON (origin) * FROM flights ORDER BY origin, dep_delay"
    assert "ordered rows" in str(traced(text)["flight_id"].known.unknown)
    assert traced("SELECT DISTINCT ON (tailnum) * FROM planes ORDER BY Seats")["Seats"].known == ALWAYS


@pytest.mark.parametrize("order", ["2", "delay", "dep_delay", "ALL", "random()", "(SELECT max(wind) FROM weather)"])
def test_however_the_order_is_said(order: str) -> None:
    found = traced(f"SELECT scheduled_at, dep_delay AS delay, departed_at FROM flights ORDER BY {order} LIMIT 1")
    assert found["scheduled_at"].known.unknown


def test_what_lists_hold_is_known_with_them() -> None:
    found = traced(
        "SELECT origin, departed_at, scheduled_at, part, list_transform([dep_delay], lambda x: x + 1) AS more, "
        "[x + 1 FOR x IN [dep_delay] IF x > 0] AS some, {'d': dep_delay}.d AS inside "
        "FROM flights, unnest([dep_delay]) AS u(part)"
    )
    for column in ("part", "more", "some", "inside"):
        assert (found[column].sources, found[column].known.unknown) == ({"flights.dep_delay"}, None)
    assert found["part"].known == Known.at("departed_at")
    assert found["origin"].known == Known.at("departed_at").latest(PLANNED)  # where the list is empty there is no row
    assert traced("SELECT x, tailnum FROM (VALUES (1), (2)) AS v(x), planes")["x"].known == ALWAYS


def test_a_whole_row_is_all_of_it() -> None:
    found = traced("SELECT flights AS row, scheduled_at, departed_at FROM flights")["row"]
    assert found.sources == {f"flights.{column}" for column in flights.columns}
    assert Moment("departed_at") in found.known.moments


def test_of_an_aggregate_that_nobody_has_heard_of_nothing_is_known() -> None:
    assert "aggregated over rows" in str(traced("SELECT kurtosis(dep_delay) AS k FROM flights")["k"].known.unknown)
    by_origin = traced("SELECT origin, kurtosis(dep_delay) AS k, max(departed_at) AS d FROM flights GROUP BY origin")
    assert by_origin["k"].known.unknown


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SELECT COLUMNS('dep_delay') FROM flights", "COLUMNS"),
        ("SELECT * FROM flights POSITIONAL JOIN planes", "POSITIONAL JOIN"),
        ("WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r) SELECT * FROM r, planes", "WITH RECURSIVE"),
        ("SELECT * FROM (PIVOT planes ON tailnum USING max(Seats) GROUP BY Seats)", "PIVOT"),
        ("SELECT #1 AS x FROM flights", "POSITIONALCOLUMN"),
        ("SELECT * LIKE 'dep%' FROM flights", "STAR"),
        ("SELECT rowid FROM flights", "rowid"),
        ("SELECT * FROM planes, LATERAL (SELECT max(wind) AS w FROM weather) AS l", "LATERAL"),
        ("SELECT * FROM ((SELECT * FROM planes) LIMIT 3)", "a clause after SELECT * FROM planes"),
    ],
)
def test_what_cannot_be_traced_is_never_said_and_the_reason_names_it(text: str, why: str) -> None:
    inputs = {name: TABLES[name] for name in sql.inputs(text)}
    try:
        columns = sql.bind(text, inputs).columns
    except SchemaError:  # what DuckDB cannot describe has no columns; the rules must not be fooled all the same
        columns = ("a",)
    found = sql.trace(text, inputs, leaf, columns)
    assert list(found) == list(columns)
    for t in found.values():
        assert t.known.unknown and why in t.known.unknown and "the SQL cannot be traced" in t.known.unknown


def test_every_function_that_does_not_follow_from_its_arguments_is_known_for_it() -> None:
    """As DuckDB itself has it."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT DISTINCT function_name, len(parameters) FROM duckdb_functions() "
            "WHERE stability <> 'CONSISTENT' AND function_type IN ('scalar', 'aggregate')"
        ).fetchall()
    assert len(rows) > 20
    calls = [f"{name}({', '.join(['1'] * arguments)})" for name, arguments in rows]
    calls += ["current_timestamp", "current_date", "localtimestamp", "current_user"]
    parsed = {call: sqlglot.parse_one(f"SELECT {call}", dialect="duckdb").selects[0] for call in calls}
    assert [call for call, node in parsed.items() if not any(map(is_drawn, node.walk()))] == []


GROUPED = {
    **dict.fromkeys(("group by", "group by all", "having"), "origin"),
    "group by a condition": "late",
    "filtered aggregates": "scheduled_at",
}
"""The cases that keep the latest instant of a group, by their key."""

# ── what the rules promise ────────────────────────────────────────────────────────────────────────────

NOW = datetime(2013, 6, 1, tzinfo=UTC)
instants = st.integers(-2, 2).map(lambda days: NOW + timedelta(days=days))
flight = st.fixed_dictionaries(
    {
        "flight_id": st.sampled_from("abc"),
        "tailnum": st.sampled_from(["N1", "N2", None]),
        "origin": st.sampled_from(["JFK", "LGA"]),
        "scheduled_at": st.integers(28, 32).map(lambda days: NOW + timedelta(days=days)),
        "departed_at": st.none() | instants,
        "dep_delay": st.none() | st.integers(0, 30).map(float),
    }
)
# A delay is null exactly as long as it is not there yet: docs/features-and-time.md says why a group by it needs that.
flight = flight.filter(lambda row: row["departed_at"] is None or row["dep_delay"] is not None)
flight = flight.map(lambda row: row | ({"dep_delay": None} if row["departed_at"] is None else {}))
observation = st.fixed_dictionaries(
    {"origin": st.sampled_from(["JFK", "LGA"]), "time_hour": instants, "wind": st.integers(0, 20).map(float)}
)
LATER = {
    "departed_at": NOW + timedelta(days=1),
    "scheduled_at": NOW + timedelta(days=31),
    "time_hour": NOW + timedelta(days=1),
}
Row = dict[str, Any]


def known_by_now(row: Row, known: Known) -> bool:
    times = [(row[m.column], m.offset) for m in known.moments]
    return all(at is not None and at + timedelta(microseconds=offset) <= NOW for at, offset in times)


def otherwise(draw: st.DrawFn, table: str, rows: list[Row], fresh: st.SearchStrategy[Row]) -> list[Row]:
    """The rows as they might just as well be: whatever is not known by now is something else, or not there at all."""
    changed = []
    for row in rows:
        kept = {c for c in row if known_by_now(row, KNOWN[table][c])}
        if kept or draw(st.booleans()):
            other = {c: row[c] if c in kept else value for c, value in draw(fresh).items()}
            for column in {"departed_at", "scheduled_at", "time_hour"} & set(row) - kept:
                other[column] = LATER[column]
            changed.append(other)
    later = draw(st.lists(fresh.map(lambda row: row | {c: at for c, at in LATER.items() if c in row}), max_size=2))
    return changed + later


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[str, list[Row]], dict[str, list[Row]]]:
    one = {
        "flights": draw(st.lists(flight, max_size=4)),
        "planes": [{"tailnum": "N1", "Seats": 100}, {"tailnum": "N3", "Seats": 50}],
        "weather": draw(st.lists(observation, max_size=4)),
    }
    other = {
        "flights": otherwise(draw, "flights", one["flights"], flight),
        "planes": one["planes"],
        "weather": otherwise(draw, "weather", one["weather"], observation),
    }
    return one, other


def answers(database: Any, world: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """The rows of every case."""
    for name, rows in world.items():
        database.register(name, pa.Table.from_pylist(rows, TABLES[name].schema().to_pyarrow()))
    return {name: database.sql(text).to_arrow_table().to_pylist() for name, (text, _ibis) in SAME.items()}


def seen_by_now(rows: list[Row], column: str, known: Known) -> set[str]:
    columns = [column, *sorted(m.column for m in known.moments)]
    return {repr([row[c] for c in columns]) for row in rows if known_by_now(row, known)}


def groups_by_now(rows: list[Row], key: str, column: str, known: Known) -> dict[Any, Any]:
    return {row[key]: row[column] for row in rows if known_by_now(row, known)}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds=worlds())
def test_what_is_known_by_now_does_not_depend_on_what_is_not(worlds: Any) -> None:
    """A group that later rows join is another group by then: it is not known before they are."""
    with duckdb.connect(config={"threads": 1}) as database:
        database.execute("SET TimeZone = 'UTC'")
        one, other = (answers(database, world) for world in worlds)
    for name, (text, _ibis) in SAME.items():
        for column, t in traced(text).items():
            if t.known.unknown:
                continue
            if key := GROUPED.get(name):
                a, b = (groups_by_now(rows[name], key, column, t.known) for rows in (one, other))
                assert {k: a[k] for k in a if k in b} == {k: b[k] for k in b if k in a}, (name, column)
            elif t.known.moments or set(sql.inputs(text)) == {"planes"}:  # a constant in a later row comes with it
                a, b = (seen_by_now(rows[name], column, t.known) for rows in (one, other))
                assert a == b, (name, column)
