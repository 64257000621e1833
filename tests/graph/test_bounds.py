"""Instants that are rounded down lie between two moments, on the engine as in the rules."""

from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest
from ibis import _

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.graph.bounds import Bounds, bounds_of
from mainstem.graph.known import ALWAYS, Known, Moment

DAY, HOUR = 86_400_000_000, 3_600_000_000

orders = ibis.table({"at": "timestamp('UTC', 6)", "n": "int64"}, name="orders")


def between(earliest: int, latest: int) -> Bounds:
    return Bounds(Moment("at", earliest), Moment("at", latest))


ROUNDED = [
    (_.at, between(0, 0)),
    (_.at - ibis.interval(hours=1), between(-HOUR, -HOUR)),
    (_.at.truncate("h"), between(1 - HOUR, 0)),
    (_.at.truncate("W"), between(1 - 7 * DAY, 0)),
    (_.at.truncate("M"), between(1 - 31 * DAY, 0)),
    (_.at.truncate("Y"), between(1 - 366 * DAY, 0)),
    (_.at.truncate("D") + ibis.interval(hours=6), between(1 - 18 * HOUR, 6 * HOUR)),
    ((_.at + ibis.interval(hours=6)).truncate("D"), between(1 - 18 * HOUR, 6 * HOUR)),
    (_.at.date(), between(1 - DAY, 0)),
    (_.at.date() - ibis.interval(days=1), between(1 - 2 * DAY, -DAY)),
    (_.at.cast("date").cast("timestamp('UTC', 6)"), between(1 - DAY, 0)),
    (_.at.date().truncate("M"), between(2 - 32 * DAY, 0)),
    (_.at.cast("timestamp").bucket(hours=6), between(1 - 6 * HOUR, 0)),
    (_.at.cast("timestamp").bucket(hours=6, offset=ibis.interval(hours=1)), between(1 - 6 * HOUR, 0)),
]


@pytest.mark.parametrize(("value", "bounds"), ROUNDED, ids=lambda v: "" if isinstance(v, Bounds) else repr(v))
def test_bounds(value: Any, bounds: Bounds) -> None:
    assert bounds_of(value.resolve(orders)) == bounds


@pytest.mark.parametrize(
    "value",
    [_.at + _.n.as_interval("s"), _.at.cast("timestamp('Europe/Rome', 6)").truncate("D"), _.at.cast("timestamp(0)")],
    ids=repr,
)
def test_what_definitions_cannot_bound(value: Any) -> None:
    assert bounds_of(value.resolve(orders)) == Bounds()


def test_the_engine_keeps_within_the_bounds() -> None:
    """On instants before and after 1970, and at the very ends of units."""
    begin, end = datetime(1969, 12, 1, tzinfo=UTC), datetime(2024, 12, 31, 23, 59, 59, 999_999, UTC)
    instants = [begin, end, *(begin + timedelta(hours=37 * k, microseconds=k) for k in range(500))]
    table = pa.table({"at": pa.array(instants, pa.timestamp("us", "UTC")), "n": [0] * len(instants)})
    with DuckdbEngine().session({"orders": table}) as session:
        for value, bounds in ROUNDED:
            assert bounds.earliest and bounds.latest
            found = value.resolve(orders).cast("timestamp('UTC', 6)")
            rows = session.fetch(orders.select("at", found=found)).to_pylist()
            away = [(row["found"] - row["at"]) // timedelta(microseconds=1) for row in rows]
            assert bounds.earliest.offset <= min(away) <= max(away) <= bounds.latest.offset, repr(value)


def test_what_is_known_no_earlier_than_what_is_rounded_down_is_too_late() -> None:
    day = bounds_of(orders["at"].truncate("D"))
    assert day.after(Known.at("at")) == day.after(Known.at("at", HOUR)) == "too late"
    assert day.after(Known.at("at").latest(Known.at("other"))) == "too late"
    assert day.after(Known.at("at", -HOUR)) == day.after(Known.at("other")) == "undecided"
    assert day.after(Known.at("at", -DAY)) == day.after(ALWAYS) == "in time"


def test_at_the_very_instant_is_too_late() -> None:
    at = bounds_of(orders["at"])
    assert at.after(Known.at("at")) == "too late"
    assert at.after(Known.at("at", -1)) == "in time"
    assert Bounds().after(Known.at("at")) == at.after(Known.never_said("why")) == "undecided"
    assert Bounds().after(ALWAYS) == "in time"
