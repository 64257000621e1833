"""What is refused when a project loads, and how the errors help; what changes a fingerprint, and what it reaches."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import CycleError, DefinitionError, LeakError, MainstemError, SchemaError, UnknownName
from mainstem.graph.known import Known
from mainstem.nodes.base import Node
from mainstem.nodes.definition import Graph
from mainstem.nodes.findings import Rule
from mainstem.nodes.verbs import Rescale
from mainstem.project.resolve import resolve

INSTANT = "timestamp('UTC', 6)"
FLIGHTS = {
    "flight_id": "string",
    "origin": "string",
    "delay": "float64",
    "scheduled_at": INSTANT,
    "departed_at": INSTANT,
}
DAY = 86_400_000_000


def flights_source(**changed: object) -> ms.Project:
    given: dict[str, object] = {
        "key": "flight_id",
        "time": "scheduled_at",
        "known": {"*": _.scheduled_at - ibis.interval(days=30), "delay": "departed_at"},
        "schema": FLIGHTS,
    }
    return ms.files("flights.csv", **{**given, **changed})  # type: ignore[arg-type]


def resolved(**nodes: Node) -> Graph:
    return resolve(nodes, {})


def refused(error: type[MainstemError], **nodes: Node) -> MainstemError:
    with pytest.raises(error) as caught:
        resolved(**nodes)
    return caught.value


def test_names_types_and_knowledge() -> None:
    @ms.table(key="flight_id")
    def legs(flights):  # type: ignore[no-untyped-def]
        return flights.mutate(late=_.delay > 15)

    graph = resolved(flights=flights_source(), legs=legs)
    assert graph["legs"].schema == {**FLIGHTS, "late": "boolean"}
    assert graph["legs"].inputs == ("flights",)
    assert graph["legs"].known["late"] == Known.at("departed_at")
    assert graph["legs"].known["origin"] == Known.at("scheduled_at", -30 * DAY)
    assert graph["legs"].columns["late"] == ("flights.delay",)
    assert "_seq" in (graph["flights"].schema or {}) and "_seq" not in (graph["legs"].schema or {})


def test_an_instant_that_tells_when_others_are_known_is_known_itself_only_then() -> None:
    graph = resolved(flights=flights_source())
    assert graph["flights"].known["departed_at"] == Known.at("departed_at")


def test_a_table_may_say_why_a_column_is_known() -> None:
    def legs(column: str) -> Node:
        last = lambda flights: flights.aggregate(delay=_.delay.max())  # noqa: E731
        return ms.table(last, name="legs", assume_known={column: "a constant"})  # type: ignore[no-any-return]

    assert resolved(flights=flights_source(), legs=legs("delay"))["legs"].known == {"delay": Known()}
    assert "'delay'" in str(refused(UnknownName, flights=flights_source(), legs=legs("dely")).hint)


def test_a_wrong_parameter_names_the_line_and_what_there_is() -> None:
    @ms.table
    def legs(flightz):  # type: ignore[no-untyped-def]
        return flightz

    error = refused(UnknownName, flights=flights_source(), legs=legs)
    assert "flightz" in error.what and "'flights'" in str(error.hint)
    assert "test_resolve.py:" in str(error.where) and "legs" in str(error.where)


def test_a_parameter_can_be_told_what_it_is() -> None:
    source = flights_source()
    legs = ms.table(lambda f: f, name="legs", inputs={"f": source})
    assert resolved(flights=source, legs=legs)["legs"].inputs == ("flights",)


def test_a_wrong_column_names_the_line_and_close_matches() -> None:
    @ms.table
    def legs(flights):  # type: ignore[no-untyped-def]
        return flights.mutate(late=_.delya > 15)

    error = refused(DefinitionError, flights=flights_source(), legs=legs)
    assert "delya" in str(error) and "delay" in str(error.hint) and "test_resolve.py" in str(error.where)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"key": "flightid"}, UnknownName),
        ({"time": "scheduled"}, UnknownName),
        ({"time": "origin"}, SchemaError),
        ({"schema": {**FLIGHTS, "scheduled_at": "timestamp(6)"}}, SchemaError),
        ({"known": {"dely": "departed_at"}}, UnknownName),
        ({"known": "origin"}, SchemaError),
        ({"known": ibis.greatest(_.scheduled_at, _.departed_at)}, DefinitionError),
    ],
)
def test_a_source_that_says_what_cannot_be(changed: Mapping[str, object], error: type[MainstemError]) -> None:
    assert "flights" in str(refused(error, flights=flights_source(**changed)).where)


def test_a_join_on_unlike_types() -> None:
    planes = ms.files("planes.csv", known="always", schema={"flight_id": "int64", "seats": "int64"})

    @ms.table
    def legs(flights, planes):  # type: ignore[no-untyped-def]
        return flights.left_join(planes, "flight_id")

    error = refused(DefinitionError, flights=flights_source(), planes=planes, legs=legs)
    assert "test_resolve.py" in str(error.where)


def test_a_cycle() -> None:
    a = ms.table(lambda b: b, name="a")
    b = ms.table(lambda a: a, name="b")
    assert "→" in str(refused(CycleError, a=a, b=b).got)


def test_a_node_of_nobody() -> None:
    stray = flights_source()
    legs = ms.table(lambda f: f, name="legs", inputs={"f": stray})
    assert "not part of the project" in refused(DefinitionError, legs=legs).what


def test_two_nodes_of_one_name() -> None:
    from mainstem.project.collect import from_namespaces

    both = {"a": ms.table(lambda: None, name="legs"), "b": ms.table(lambda: None, name="legs")}
    with pytest.raises(DefinitionError, match="two nodes have the name 'legs'"):
        from_namespaces([("shop", both)])


# ── streams and their history ─────────────────────────────────────────────────────────────────────────


def stream_and_history(**history: object) -> dict[str, Node]:
    past = ms.table(lambda flights: flights.select("origin", "delay", "departed_at"), name="past")
    schema = {"origin": "string", "delay": "float64", "departed_at": INSTANT}
    departures = ms.stream("departures", schema=schema, time="departed_at", history="past")
    return {"flights": flights_source(), "past": past, "departures": departures, **history}  # type: ignore[dict-item]


def test_a_stream_is_read_with_its_history_up_to_the_cutover() -> None:
    nodes = stream_and_history()
    cutover = datetime(2013, 12, 1, tzinfo=UTC)
    graph = resolve(nodes, {}, cutovers={"departures": cutover})
    assert graph.stored("departures") == {"past", "departures"}
    sql = ibis.to_sql(graph["departures"].read, dialect="duckdb")
    assert "(2013, 12, 1" in sql and "UNION ALL" in sql
    assert graph["departures"].read_fingerprint == resolve(nodes, {})["departures"].read_fingerprint


def test_a_history_without_the_streams_columns() -> None:
    short = ms.table(lambda flights: flights.select("origin", "departed_at"), name="past")
    error = refused(SchemaError, **{**stream_and_history(), "past": short})
    assert "delay" in str(error.expected) and "departures" in str(error.where)


# ── models ────────────────────────────────────────────────────────────────────────────────────────────


def modelled(**changed: object) -> dict[str, Node]:
    flights = flights_source(known={"*": _.scheduled_at - ibis.interval(days=30), "delay": "departed_at"})
    leg = ms.feature_view(flights, key="flight_id", columns=["origin"])
    given = {"examples": flights, "prediction_time": _.scheduled_at, "target": _.delay > 15, "features": [leg]}
    return {"flights": flights, "leg": leg, "late": ms.model(**{**given, **changed})}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("time", "kind", "hint"),
    [
        (_.delay, "float64", "scheduled_at, departed_at"),
        ("origin", "string", "scheduled_at, departed_at"),
        (_.scheduled_at.cast("string").cast("timestamp"), "timestamp", "cast("),
        (_.scheduled_at.hour(), "int32", "scheduled_at, departed_at"),
    ],
)
def test_a_prediction_is_made_at_an_instant(time: object, kind: str, hint: str) -> None:
    error = refused(SchemaError, **modelled(prediction_time=time))
    assert "is not an instant" in error.what
    assert (error.got, error.expected) == (kind, INSTANT)
    assert hint in str(error.hint) and "late (test_resolve.py" in str(error.where)


@pytest.mark.parametrize("day", [_.scheduled_at.truncate("D"), _.scheduled_at.date(), _.scheduled_at.bucket(hours=6)])
def test_the_day_of_an_instant_is_one_though_ibis_forgets_its_zone(day: object) -> None:
    assert resolved(**modelled(prediction_time=day))


@pytest.mark.parametrize("column", ["leg__origin", "origin"])
def test_a_column_that_a_model_assumes_known(column: str) -> None:
    """A feature, or a column of the examples."""
    assert resolved(**modelled(assume_known={column: "somebody says so"}))


@pytest.mark.parametrize("column", ["leg__orign", "orign", "nosuch__origin", "leg__delay"])
def test_an_unknown_column_in_assume_known(column: str) -> None:
    error = refused(UnknownName, **modelled(assume_known={column: "somebody says so"}))
    assert f"unknown column {column!r} in assume_known" in error.what
    assert "leg__origin" in str(error.expected) and "late (test_resolve.py" in str(error.where)


def test_a_view_is_used_by_itself_and_not_by_its_name() -> None:
    error = refused(UnknownName, **modelled(features=["leg"]))
    assert error.hint == "features=[leg], without quotes"
    assert "the name of a feature view" in str(error.got)


def test_a_key_that_is_known_only_when_the_prediction_is_made() -> None:
    """The time is to blame: a key cannot be left out."""
    early = ibis.interval(days=30)
    error = refused(LeakError, **modelled(prediction_time=_.scheduled_at - early))
    assert "'leg' is looked up by 'flight_id', which is known only at scheduled_at − 30 d" in error.what
    assert "prediction_time=… + ibis.interval(seconds=1)" in str(error.hint) and "leave it out" not in str(error)
    assert resolved(**modelled(prediction_time=_.scheduled_at - early + ibis.interval(seconds=1)))


def test_what_a_node_is_made_from_is_a_node() -> None:
    with pytest.raises(DefinitionError) as caught:
        ms.feature_view(len, key="x", columns=["y"])  # type: ignore[arg-type]
    assert "@ms.table" in str(caught.value.hint) and "test_resolve.py" in str(caught.value.where)


def test_a_guard_that_is_no_condition_is_refused_when_the_project_loads() -> None:
    rule = Rule("flights", Rescale("delay", 2.0), "TRUE", "(SELECT count(*) FROM read_csv('/etc/hosts')) > 0")
    with pytest.raises(DefinitionError) as caught:
        resolve({"flights": flights_source()}, {}, rules=[rule])
    assert "is not a guard" in caught.value.what and "remedies.toml, flights.delay" in str(caught.value.where)


# ── fingerprints ──────────────────────────────────────────────────────────────────────────────────────


def prints(graph: Graph) -> dict[str, str]:
    return {definition.name: definition.fingerprint for definition in graph}


def project(threshold: int, *, doc: str = "", known: object = "always") -> dict[str, Node]:
    source = flights_source(known=known)
    legs = ms.table(lambda flights: flights.mutate(late=_.delay > threshold), name="legs", description=doc)
    return {"flights": source, "legs": legs, "days": ms.table(lambda legs: legs.limit(1), name="days")}


def test_words_change_nothing_and_meaning_flows_down() -> None:
    base = prints(resolved(**project(15)))
    assert prints(resolved(**project(15, doc="other words"))) == base
    changed = prints(resolved(**project(20)))
    assert {name for name in base if base[name] != changed[name]} == {"legs", "days"}


def test_a_remedy_changes_what_is_read_and_all_below_but_not_what_is_stored() -> None:
    nodes = project(15)
    rule = Rule("flights", Rescale("delay", 1 / 60), "departed_at >= TIMESTAMPTZ '2013-12-01'", "delay < 3000")
    plain, remedied = resolve(nodes, {}), resolve(nodes, {}, rules=[rule])
    assert plain["flights"].fingerprint == remedied["flights"].fingerprint
    assert plain["flights"].read_fingerprint != remedied["flights"].read_fingerprint
    assert plain["days"].fingerprint != remedied["days"].fingerprint


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"candidates": ["lightgmb"]}, "unknown algorithm 'lightgmb'"),
        ({"metric": "acuracy"}, "unknown binary metric 'acuracy'"),
        ({"metric": "rmse", "task": "binary"}, "unknown binary metric 'rmse'"),
    ],
)
def test_a_models_words_are_known_when_the_project_loads(changed: dict[str, object], what: str) -> None:
    flights = flights_source()
    leg = ms.feature_view(flights, key="flight_id", columns=["origin"])
    given = {"examples": flights, "prediction_time": _.scheduled_at, "target": _.delay > 15, "features": [leg]}
    late = ms.model(**{**given, **changed})  # type: ignore[arg-type]
    error = refused(UnknownName, flights=flights, leg=leg, late=late)
    assert error.what == what and "test_resolve.py" in str(error.where)


def test_a_monitors_metric_is_known_when_the_project_loads() -> None:
    flights = flights_source()
    leg = ms.feature_view(flights, key="flight_id", columns=["origin"])
    late = ms.model(examples=flights, prediction_time=_.scheduled_at, target=_.delay > 15, features=[leg])
    watched = ms.endpoint(late, monitors=[ms.performance(0.5, metric="acuracy")])
    error = refused(UnknownName, flights=flights, leg=leg, late=late, watched=watched)
    assert error.what == "unknown binary metric 'acuracy'" and "test_resolve.py" in str(error.where)


def test_a_check_that_does_not_fit_its_column_is_refused_when_the_project_loads() -> None:
    error = refused(SchemaError, flights=flights_source(checks=[ms.between("origin", 1, 5)]))
    assert error.what == "between(origin, 1, 5) does not fit the type of its column"
    assert "test_resolve.py" in str(error.where)


# ── foreign keys ─────────────────────────────────────────────────────────────────────────────────────


def referring(check: object, *, to: Mapping[str, str] | None = None) -> dict[str, Node]:
    airports = ms.files("airports.csv", key="faa", schema=to or {"faa": "string", "lat": "float64"}, known="always")
    flights = flights_source()

    @ms.table(key="flight_id", checks=[check])
    def legs(flights: ibis.Table) -> ibis.Table:
        return flights

    return {
        "flights": flights,
        "airports": airports,
        "legs": legs,
        "busy": ms.feature_view(flights, key="origin", windows=["1h"], n=_.count()),
    }


@pytest.mark.parametrize(
    ("check", "kind", "said"),
    [
        (ms.foreign_key("origin", "airports", "fa"), UnknownName, ["'fa'", "faa", "def legs", "test_resolve.py"]),
        (ms.foreign_key("origin", "airports"), UnknownName, ["'origin'", "airports"]),
        (ms.foreign_key("delay", "airports", "faa"), SchemaError, ["float64 and string", "def legs"]),
        (ms.foreign_key("origin", "busy"), DefinitionError, ["'busy' is not a relation", "def legs"]),
        (ms.foreign_key("origin", "airport", "faa"), UnknownName, ["'airport'", "airports"]),
    ],
)
def test_a_foreign_key_that_fits_no_column_is_refused_at_load(check: object, kind: type, said: list[str]) -> None:
    with pytest.raises(kind) as refused:
        resolve(referring(check), {})
    assert [text for text in said if text not in str(refused.value)] == []


def test_a_foreign_key_of_a_source_is_held_to_the_same_rules() -> None:
    airports = ms.files("airports.csv", key="faa", schema={"faa": "string"}, known="always")
    for check, said in (
        (ms.foreign_key("origin", airports, "fa"), "'fa'"),
        (ms.foreign_key("origin", "airport", "faa"), "'airport'"),
    ):
        with pytest.raises(UnknownName, match=said):
            resolve({"flights": flights_source(checks=[check]), "airports": airports}, {})


def test_a_foreign_key_may_refer_to_its_own_table() -> None:
    @ms.table(key="id", checks=[ms.foreign_key("boss", to="people", to_columns="id")])
    def people(staff: ibis.Table) -> ibis.Table:
        return staff

    schemas = {"staff": {"id": "int64", "boss": "int64"}}
    graph = resolve({"staff": ms.files("staff.csv"), "people": people}, schemas)
    assert graph["people"].inputs == ("staff",)
    itself = ms.files("staff.csv", checks=[ms.foreign_key("boss", "staff", "id", severity="quarantine")])
    with pytest.raises(DefinitionError, match="sees only the rows that are new"):
        resolve({"staff": itself}, schemas)


def test_a_foreign_key_that_fits_is_taken() -> None:
    assert resolve(referring(ms.foreign_key("origin", "airports", "faa")), {})["legs"].schema is not None
