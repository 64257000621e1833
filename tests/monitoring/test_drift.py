"""Drift: what is found, what is not, and what nobody can tell."""

import numpy as np
import pytest

from mainstem.monitoring.drift import Sample, shifts
from mainstem.monitoring.history import DAY
from mainstem.nodes.endpoints import Drift
from mainstem.nodes.records import InputColumn

INPUTS = (
    InputColumn("speed", "float"),
    InputColumn("gust", "float"),
    InputColumn("airport", "string"),
)


def rows(seed, days, per_day=100, start=0, season=False):
    """`per_day` rows on each of `days`; with a `season` the speed swings over the year."""
    random = np.random.default_rng(seed)
    n = days * per_day
    times = (start + np.repeat(np.arange(days), per_day)) * DAY + random.integers(0, DAY, n)
    times.sort()
    swing = 10 * np.cos(2 * np.pi * times / DAY / 365) if season else 0
    gust = np.where(random.random(n) < 0.3, np.nan, random.gamma(4, 2, n))
    airport = random.choice(["JFK", "LGA", "EWR"], n, p=[0.4, 0.3, 0.3]).astype(object)
    return Sample({"speed": random.gamma(9, 1, n) + swing, "gust": gust, "airport": airport}, times)


def with_column(sample, name, values):
    return Sample({**sample.columns, name: values}, sample.times)


def drifted(*args, **kwargs):
    return {s.input for s in shifts(*args, **kwargs) if s.drifted}


def test_equal_samples_are_silent_over_many_seeds():
    false = sum(
        bool(drifted(rows(2 * s, 20), rows(2 * s + 1, 10, start=20), INPUTS, Drift(effect=0))) for s in range(60)
    )
    assert false <= 3  # at a false discovery rate of 1 %


@pytest.mark.parametrize("factor", [0.44704, 1.609344, 60])
def test_a_change_of_unit_is_found_and_nothing_else(factor):
    before, now = rows(0, 60), rows(1, 30, start=60)
    now = with_column(now, "speed", now.columns["speed"] * factor)
    assert drifted(before, now, INPUTS, Drift(), before) == {"speed"}


def test_a_rise_of_nulls_is_found():
    before, now = rows(0, 60), rows(1, 30, start=60)
    lost = np.where(np.random.default_rng(2).random(len(now)) < 0.5, np.nan, now.columns["gust"])
    found = {s.input: s for s in shifts(before, with_column(now, "gust", lost), INPUTS, Drift(), before)}
    assert found["gust"].drifted and not found["speed"].drifted
    assert found["gust"].nulls == pytest.approx((0.3, 0.65), abs=0.02)


def test_a_recoded_text_is_found():
    before, now = rows(0, 60), rows(1, 30, start=60)
    recoded = np.array([{"JFK": "KJFK"}.get(v, v) for v in now.columns["airport"]], object)
    found = {s.input: s for s in shifts(before, with_column(now, "airport", recoded), INPUTS, Drift(), before)}
    assert found["airport"].drifted and found["airport"].test == "chi²"


def test_a_season_that_history_knows_is_silent_and_one_that_it_does_not_know_is_not():
    history = rows(0, 365, season=True)
    autumn = history.take(np.flatnonzero(history.times >= 270 * DAY))
    winter = rows(1, 30, start=365, season=True)
    assert drifted(autumn, winter, INPUTS, Drift()) == {"speed"}
    assert drifted(autumn, winter, INPUTS, Drift(), history) == set()
    in_metres = with_column(winter, "speed", winter.columns["speed"] * 10)
    assert drifted(autumn, in_metres, INPUTS, Drift(), history) == {"speed"}


def test_small_shifts_do_not_matter_however_sure():
    before, now = rows(0, 300), rows(1, 300, start=300)
    now = with_column(now, "speed", now.columns["speed"] + 0.3)
    found = {s.input: s for s in shifts(before, now, INPUTS, Drift())}
    assert found["speed"].adjusted_p < 1e-4 and not found["speed"].drifted


def test_too_few_rows_are_said_to_be_too_few():
    found = shifts(rows(0, 60), rows(1, 4, start=60), INPUTS, Drift(min_rows=500))
    assert [s.enough for s in found] == [False] * 3 and not any(s.drifted for s in found)


@pytest.mark.parametrize("history", [False, True])
@pytest.mark.parametrize(
    ("usual", "now"),
    [(1.0, 0.0), (5.0, -999.0), (0.0, 1.0), (0.0, -1.0), (1.0, 2.0), (7.25, 7.24), (1.0, np.nan), (np.nan, 1.0)],
)
def test_a_constant_that_changes_has_drifted_in_either_direction(usual, now, history):
    before, after = rows(0, 60), rows(1, 30, start=60)
    before = with_column(before, "speed", np.full(len(before), usual))
    after = with_column(after, "speed", np.full(len(after), now))
    assert drifted(before, after, INPUTS, Drift(), before if history else None) == {"speed"}


@pytest.mark.parametrize("rare", [0.0, 2.0])
@pytest.mark.parametrize("share", [0.05, 0.15])
def test_a_rare_value_that_becomes_the_only_one_has_drifted(rare, share):
    random = np.random.default_rng(0)
    before, after = rows(0, 60), rows(1, 30, start=60)
    before = with_column(before, "speed", np.where(random.random(len(before)) < share, rare, 1.0))
    after = with_column(after, "speed", np.full(len(after), rare))
    assert drifted(before, after, INPUTS, Drift(), before) == {"speed"}


@pytest.mark.parametrize("value", [-999.0, 0.0, 1e9])
def test_values_beyond_the_reference_show_on_either_side(value):
    before, after = rows(0, 60), rows(1, 30, start=60)
    after = with_column(after, "speed", np.full(len(after), value))
    assert drifted(before, after, INPUTS, Drift(), before) == {"speed"}
