"""Guards: they hold while the cause is there, and fail when the vendor has mended it."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from ibis import _

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import UnknownName
from mainstem.feedback import guards
from mainstem.feedback.changes import Series, unit_change
from mainstem.monitoring.history import DAY
from mainstem.nodes.instants import instant_of
from mainstem.project.resolve import resolve
from mainstem.tables.corrections import corrected

DAYS, FAULT, MENDED = 120, 80, 110
TIMES = np.arange(DAYS * 24) * (DAY // 24)
TRUE = np.round(np.random.default_rng(0).normal(2, 9, len(TIMES)))


def sent(mended):
    """The feed, in seconds from day 80 on; in minutes again from day 110 on, if it was mended."""
    wrong = (TIMES >= FAULT * DAY) & ((TIMES < MENDED * DAY) | (not mended))
    return np.where(wrong, TRUE * 60, TRUE)


def rule():
    rows = Series("at", TIMES, sent(mended=False)).between(0, 100 * DAY)
    found = unit_change("feed", "delay", rows, (instant_of(FAULT * DAY), instant_of(100 * DAY)), [])
    assert found is not None
    return found.rule


def checked(values, rule):
    """The guard of a rule, as a run checks it: the engine is real, the lake is this table."""
    feed = ms.files("feed.csv", key="id", time="at")
    schema = {"id": "int64", "at": "timestamp('UTC', 6)", "delay": "float64"}
    graph = resolve({"feed": feed}, {"feed": schema}, rules=[rule])
    rows = pa.table(
        {
            "id": range(len(TIMES)),
            "at": pa.array(TIMES, pa.timestamp("us", "UTC")),
            "delay": values,
            "_seq": range(len(TIMES)),
        }
    )
    context = SimpleNamespace(graph=graph, session=lambda names: DuckdbEngine().session({"feed": rows}))
    [found] = guards.check(context, [rule])
    return found


def test_the_guard_holds_while_the_feed_is_wrong():
    found = checked(sent(mended=False), rule())
    assert found.holds and (found.days, found.held) == (7, 7)


def test_the_guard_fails_when_the_feed_is_mended():
    found = checked(sent(mended=True), rule())
    assert not found.holds and found.held == 0
    assert "the cause seems gone" in found.text and "feed.delay" in found.text


def test_no_rows_are_no_failure():
    found = checked(np.full(len(TIMES), np.nan), rule())
    assert found.holds and found.days == 0


def test_a_guard_that_is_no_sql_is_an_error():
    from dataclasses import replace

    with pytest.raises(UnknownName):
        checked(sent(mended=False), replace(rule(), guard="median(nothing) > 1"))


def test_the_text_leaves_room_on_both_sides():
    warm = np.tile([2.0, 12.0, 24.0], 100)
    kelvin = guards.written("temp", warm, np.arange(300) * DAY // 20, 1.0, -273.15)
    low, high = (float(each) for each in kelvin.split("BETWEEN ")[1].split(" AND "))
    assert high > 60 and low < 0 and high < abs(12.0 - 273.15), "a warmer spring is no alarm, corrected degrees are"
    text = guards.written("dep delay", np.tile([4.0, -6.0, 0.0], 100), np.arange(300) * DAY // 20, 1 / 60)
    low, high = (float(part) for part in text.split(" BETWEEN ")[1].split(" AND "))
    assert '"dep delay"' in text and low < 5 < high
    assert low > 5 / 60 and high < 5 * 60, "either wrong unit is outside"


def test_the_rule_corrects_what_it_was_made_for():
    feed = ms.files("feed.csv", key="id", time="at")
    found = corrected(
        resolve({"feed": feed}, {"feed": {"id": "int64", "at": "timestamp('UTC', 6)", "delay": "float64"}})[
            "feed"
        ].read,
        [rule()],
    )
    rows = pa.table(
        {
            "id": range(len(TIMES)),
            "at": pa.array(TIMES, pa.timestamp("us", "UTC")),
            "delay": sent(mended=False),
            "_seq": range(len(TIMES)),
        }
    )
    with DuckdbEngine().session({"feed": rows}) as session:
        values = session.fetch(found.order_by(_.at))["delay"].to_numpy()
    assert values == pytest.approx(TRUE)
