"""Where columns come from, and when they become known, through every kind of relation."""

import ibis
import pytest
from ibis import _

from mainstem.graph.known import ALWAYS, Known, Moment
from mainstem.graph.lineage import leaves, moment_of, trace
from mainstem.graph.traces import Trace

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


def traced(table: ibis.Table, **others: dict[str, Known]) -> dict[str, Trace]:
    def leaf(name: str) -> dict[str, Trace]:
        return {c: Trace(frozenset({f"{name}.{c}"}), known) for c, known in (KNOWN | others)[name].items()}

    return dict(trace(table, leaf))


def test_a_value_is_known_when_the_last_of_its_inputs_is() -> None:
    table = flights.left_join(planes, "tailnum").mutate(mixed=_.dep_delay + _.seats)
    assert traced(table)["seats"].known == PLANNED
    assert traced(table)["mixed"].known.moments == {Moment("departed_at"), Moment("scheduled_at", -30 * DAY)}
    assert {"flights.dep_delay", "planes.seats"} <= traced(table)["mixed"].sources


def test_a_renamed_instant_is_followed() -> None:
    table = flights.select(at=_.scheduled_at, origin=_.origin)
    assert traced(table)["origin"].known == Known.at("at", -30 * DAY)


def test_an_instant_can_be_moved() -> None:
    table = flights.select(_.origin, cutoff=_.scheduled_at - ibis.interval(hours=1))
    assert traced(table)["origin"].known == Known.at("cutoff", HOUR - 30 * DAY)


def test_a_dropped_instant_makes_the_availability_unknown() -> None:
    known = traced(flights.drop("departed_at"))["dep_delay"].known
    assert known.unknown and "departed_at was left out" not in str(known)
    assert "departed_at" in str(known)


def test_a_plain_join_to_a_timed_table_keeps_its_time() -> None:
    table = flights.left_join(weather, "origin")
    assert Moment("time_hour") in traced(table)["wind"].known.moments


def test_an_instant_that_equals_another_stands_for_it() -> None:
    """Of two columns that a condition equates one is enough: the other's instants are found there."""
    at = flights.left_join(weather, [flights.origin == weather.origin, flights.scheduled_at == weather.time_hour])
    assert traced(at.select("scheduled_at", "wind"))["wind"].known == Known.at("scheduled_at")
    assert traced(at.select("departed_at", "wind"))["wind"].known.unknown
    either = flights.outer_join(weather, flights.scheduled_at == weather.time_hour)
    assert traced(either.select("scheduled_at", "wind"))["wind"].known.unknown


def test_an_as_of_join_hides_the_future() -> None:
    table = flights.asof_join(weather, on=("scheduled_at", "time_hour"), predicates="origin")
    assert traced(table)["wind"].known == Known.at("scheduled_at")


def test_an_as_of_join_hides_only_what_its_own_instant_tells() -> None:
    """What is known later than the instant it is joined by has not come with it; nor has what is looked up ahead."""
    late = weather.mutate(gust=_.wind)
    known = {c: Known.at("time_hour", DAY if c == "wind" else 0) for c in weather.columns}
    ahead = flights.asof_join(weather, on=flights.scheduled_at <= weather.time_hour, predicates="origin")
    assert traced(ahead)["wind"].known.moments == {Moment("time_hour"), Moment("scheduled_at", -30 * DAY)}
    joined = flights.asof_join(late, on=flights.scheduled_at >= late.time_hour, predicates="origin")
    assert Moment("time_hour", DAY) in traced(joined, weather=known)["gust"].known.moments
    yesterday = late.time_hour + ibis.interval(days=1)
    joined = flights.asof_join(late, on=flights.scheduled_at >= yesterday, predicates="origin")
    assert traced(joined, weather=known)["gust"].known == Known.at("scheduled_at")


def test_an_as_of_join_knows_its_keys() -> None:
    table = flights.mutate(gone=_.departed_at.notnull().ifelse(_.origin, "")).asof_join(
        weather, on=("scheduled_at", "time_hour"), predicates=[("gone", "origin")]
    )
    assert Moment("departed_at") in traced(table)["wind"].known.moments


def test_an_aggregate_keeps_the_instant_that_its_latest_row_has() -> None:
    by_tail = flights.group_by("tailnum")
    kept = traced(by_tail.agg(mean=_.dep_delay.mean(), last=_.departed_at.max(), due=_.scheduled_at.max()))
    lost = traced(by_tail.agg(mean=_.dep_delay.mean(), due=_.scheduled_at.max()))
    assert kept["mean"].known.moments == {Moment("last"), Moment("due", -30 * DAY)}
    assert kept["tailnum"].known == Known.at("due", -30 * DAY)
    assert "aggregated over rows: it is known at departed_at, and that column was left out" in str(lost["mean"].known)
    both = traced(by_tail.agg(mean=_.dep_delay.mean()))["mean"].known
    assert "it is known at departed_at and scheduled_at − 30 d, and those columns were left out" in str(both)


def test_an_aggregate_is_known_when_it_is_known_which_rows_went_in() -> None:
    """The mean of what was planned, of the flights that were late, is known when they have left."""
    late = flights.group_by(late=_.dep_delay > 15).agg(
        n=_.tailnum.nunique(), due=_.scheduled_at.max(), last=_.departed_at.max()
    )
    assert Moment("last") in traced(late)["n"].known.moments
    assert traced(late)["n"].sources == {"flights.tailnum"}


def test_counting_rows_is_known_no_earlier_than_they_are() -> None:
    assert traced(flights.group_by("origin").agg(n=_.count()))["n"].known.unknown
    assert traced(planes.group_by("tailnum").agg(n=_.count()))["n"].known == ALWAYS
    assert traced(flights.mutate(n=_.count()))["n"].known.unknown
    assert traced(planes.mutate(n=ibis.row_number()))["n"].known == ALWAYS


def test_a_condition_tells_what_it_knows() -> None:
    for flown in (flights.filter(_.dep_delay.notnull()), flights.drop_null("dep_delay")):
        assert Moment("departed_at") in traced(flown)["origin"].known.moments
        assert traced(flown)["origin"].sources == {"flights.origin"}


def test_a_condition_on_others_tells_what_they_know() -> None:
    """Whether a flight is among the delayed ones is told by other rows, known at other times."""
    delayed = flights.filter(_.dep_delay > 15)
    assert traced(planes.filter(_.tailnum.isin(delayed.tailnum)))["seats"].known.unknown
    assert traced(planes.filter((flights.tailnum == planes.tailnum).any()))["seats"].known.unknown
    assert traced(planes.semi_join(delayed, "tailnum"))["seats"].known.unknown
    assert traced(planes.filter(_.seats.isin(planes.seats)))["seats"].known == ALWAYS


def test_the_first_of_ordered_rows_have_been_compared() -> None:
    assert traced(flights.order_by("dep_delay"))["origin"].known == PLANNED
    assert traced(flights.limit(3))["origin"].known == PLANNED
    assert traced(flights.order_by("dep_delay").select("origin", "scheduled_at").limit(3))["origin"].known.unknown
    assert traced(planes.order_by("seats").limit(3))["seats"].known == ALWAYS


def test_the_clock_and_chance_are_never_known() -> None:
    table = flights.mutate(now=ibis.now(), age=ibis.now().epoch_seconds(), draw=ibis.random(), one=ibis.literal(1))
    for column in ("now", "age", "draw"):
        assert "a different value at each evaluation" in str(traced(table)[column].known.unknown)
    assert traced(table)["one"].known == ALWAYS


def test_window_functions_read_rows_of_other_times() -> None:
    table = flights.mutate(total=_.dep_delay.sum().over(group_by="origin"))
    assert traced(table)["total"].known.unknown
    assert traced(table)["origin"].known == PLANNED


def test_what_is_unnested_is_known_with_its_list() -> None:
    listed = flights.mutate(parts=ibis.array([_.dep_delay]))
    assert traced(listed.unnest("parts"))["parts"].known == Known.at("departed_at")
    assert Moment("departed_at") in traced(listed.unnest("parts"))["origin"].known.moments
    assert traced(listed.unnest("parts", keep_empty=True))["origin"].known == PLANNED


def test_a_union_is_known_when_the_later_side_is() -> None:
    past = flights.select("origin", at=_.scheduled_at)
    actual = flights.select("origin", at=_.departed_at)
    assert traced(past.union(actual))["at"].known == Known.at("at")
    assert traced(past.union(actual))["origin"].known.unknown


def test_an_intersection_has_seen_all_of_the_other_side() -> None:
    delayed = flights.filter(_.dep_delay > 15).select("tailnum")
    for of_planes in (planes.select("tailnum").difference, planes.select("tailnum").intersect):
        assert traced(of_planes(delayed))["tailnum"].known.unknown
        assert traced(of_planes(planes.select("tailnum")))["tailnum"].known == ALWAYS


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
