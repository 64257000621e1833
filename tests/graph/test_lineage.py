"""Where columns come from, and when they become known, through every kind of relation."""

import ibis
import pytest
from ibis import _

from mainstem.graph.known import ALWAYS, Known, Moment
from mainstem.graph.lineage import Trace, leaves, moment_of, trace

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
planes = ibis.table({"tailnum": "string", "seats": "int64"}, name="planes")
weather = ibis.table({"origin": "string", "time_hour": INSTANT, "wind": "float64"}, name="weather")

PLANNED = Known.at("scheduled_at", -30 * DAY)
KNOWN = {
    "flights": {c: Known.at("departed_at") if c in ("departed_at", "dep_delay") else PLANNED for c in flights.columns},
    "planes": dict.fromkeys(planes.columns, ALWAYS),
    "weather": {c: Known.at("time_hour") for c in weather.columns},
}


def traced(table: ibis.Table) -> dict[str, Trace]:
    def leaf(name: str) -> dict[str, Trace]:
        return {c: Trace(frozenset({f"{name}.{c}"}), known) for c, known in KNOWN[name].items()}

    return dict(trace(table, leaf))


def test_a_value_is_known_when_the_last_of_its_inputs_is() -> None:
    table = flights.left_join(planes, "tailnum").mutate(mixed=_.dep_delay + _.seats)
    assert traced(table)["seats"].known == PLANNED
    assert traced(table)["mixed"].known.moments == {Moment("departed_at"), Moment("scheduled_at", -30 * DAY)}
    assert {"flights.dep_delay", "planes.seats"} <= traced(table)["mixed"].sources


def test_a_renamed_instant_is_followed() -> None:
    table = flights.select(at=_.scheduled_at, origin=_.origin)
    assert traced(table)["origin"].known == Known.at("at", -30 * DAY)


def test_a_dropped_instant_makes_the_availability_unknown() -> None:
    known = traced(flights.drop("departed_at"))["dep_delay"].known
    assert known.unknown and "departed_at was left out" not in str(known)
    assert "departed_at" in str(known)


def test_a_plain_join_to_a_timed_table_keeps_its_time() -> None:
    table = flights.left_join(weather, "origin")
    assert Moment("time_hour") in traced(table)["wind"].known.moments


def test_an_as_of_join_hides_the_future() -> None:
    table = flights.asof_join(weather, on=("scheduled_at", "time_hour"), predicates="origin")
    assert traced(table)["wind"].known == Known.at("scheduled_at")


def test_an_aggregate_keeps_the_instant_that_its_latest_row_has() -> None:
    by_origin = flights.group_by("origin")
    kept = traced(by_origin.agg(mean=_.dep_delay.mean(), last=_.departed_at.max()))
    lost = traced(by_origin.agg(mean=_.dep_delay.mean()))
    assert kept["mean"].known == Known.at("last")
    assert "aggregated over rows" in str(lost["mean"].known.unknown)


def test_counting_rows_is_known_no_earlier_than_they_are() -> None:
    assert traced(flights.group_by("origin").agg(n=_.count()))["n"].known.unknown
    assert traced(planes.group_by("tailnum").agg(n=_.count()))["n"].known == ALWAYS


def test_a_condition_tells_what_it_knows() -> None:
    flown = traced(flights.filter(_.dep_delay.notnull()))
    assert Moment("departed_at") in flown["origin"].known.moments
    assert flown["origin"].sources == {"flights.origin"}


def test_window_functions_read_rows_of_other_times() -> None:
    table = flights.mutate(total=_.dep_delay.sum().over(group_by="origin"))
    assert traced(table)["total"].known.unknown
    assert traced(table)["origin"].known == PLANNED


def test_a_union_is_known_when_the_later_side_is() -> None:
    past = flights.select("origin", at=_.scheduled_at)
    actual = flights.select("origin", at=_.departed_at)
    assert traced(past.union(actual))["at"].known == Known.at("at")
    assert traced(past.union(actual))["origin"].known.unknown


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (flights.scheduled_at, Moment("scheduled_at")),
        (flights.scheduled_at - ibis.interval(hours=1), Moment("scheduled_at", -HOUR)),
        (flights.scheduled_at + ibis.interval(hours=1, minutes=2), Moment("scheduled_at", HOUR + 120_000_000)),
        (flights.scheduled_at.truncate("h"), None),
    ],
)
def test_moments(value: ibis.Value, moment: Moment | None) -> None:
    assert moment_of(value) == moment


def test_moments_of_one_column_compare_without_data() -> None:
    an_hour_before = Moment("scheduled_at", -HOUR)
    assert PLANNED.by(an_hour_before) == "in time"
    assert ALWAYS.by(an_hour_before) == "in time"
    assert Known.at("scheduled_at").by(an_hour_before) == "too late"
    assert Known.at("departed_at").by(an_hour_before) == "undecided"
    assert Known.never_said("why").by(an_hour_before) == "undecided"
    assert str(PLANNED) == "scheduled_at − 30 d"


def test_leaves() -> None:
    assert leaves(flights.left_join(planes, "tailnum").limit(3)) == {"flights", "planes"}
