"""Intervals that hold for the next period: how often they do, and how wide they are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mainstem.models.metrics.drift import Period, drift, widened
from mainstem.nodes.records import Measure

WORLDS = 1_500
ERROR = 0.05
"""The standard error of a period's metric, which is 1 without drift."""


def periods(values, error=ERROR, rows=(100, 200, 300, 400)):
    return [Period(float(v), error, n, float(t)) for t, (v, n) in enumerate(zip(values, rows, strict=True))]


def simulated(walk=0.0, trend=0.0, gain=0.0, seed=0):
    """Return how often an interval holds for the next period's metric, and how much wider it is than without drift.

    The metric is 1 + `gain` of the first period's rows, and walks; all but the noise in standard errors.
    """
    random = np.random.default_rng(seed)
    held, wider = [], []
    for _ in range(WORLDS):
        level = 1 + ERROR * (np.cumsum(random.normal(0, walk, 5)) + trend * np.arange(5))
        level = level + ERROR * gain / np.arange(1, 6)
        seen = level + random.normal(0, ERROR, 5)
        half = math.hypot(drift(periods(seen[:4]), 4.0), 1.96 * ERROR)
        held.append(abs(seen[4] - seen[3]) <= math.hypot(half, 1.96 * ERROR))
        wider.append(half / (1.96 * ERROR))
    return float(np.mean(held)), float(np.mean(wider)), float(np.median(wider))


@pytest.mark.parametrize("gain", [0.0, 5.0, 10.0], ids=["stationary", "learning", "learning fast"])
def test_without_drift_intervals_stay_informative(gain):
    """More rows to learn from make an error smaller: that is not drift."""
    held, wider, usually = simulated(gain=gain)
    assert held >= 0.94
    assert wider <= 1.5 and usually == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    "world",
    [{"walk": 1.0}, {"walk": 2.0}, {"walk": 4.0}, {"trend": 2.0}, {"trend": 4.0}, {"walk": 2, "trend": 2, "gain": 5}],
    ids=str,
)
def test_with_drift_intervals_hold_for_the_next_period(world):
    held, wider, _ = simulated(**world)
    assert held >= 0.85
    assert wider > 1.5


def test_the_bootstrap_alone_would_not_hold():
    random = np.random.default_rng(1)
    changes = random.normal(0, 4 * ERROR, WORLDS) + random.normal(0, ERROR * math.sqrt(2), WORLDS)
    assert float((np.abs(changes) <= 1.96 * ERROR * math.sqrt(2)).mean()) < 0.6


def test_the_half_width_is_that_of_students_t():
    """Differences of 1 without noise: a walk of 1 a period, from three of them."""
    found = drift(periods([1, 2, 3, 4], error=1e-9), 4.0)
    assert found == pytest.approx(3.182, abs=1e-3)
    assert drift(periods([1, 2, 3, 4], error=1e-9), 7.0) == pytest.approx(found * math.sqrt(4))


def test_noise_explains_small_differences():
    assert drift(periods([1, 1.05, 0.98, 1.02]), 4.0) == 0.0


def test_a_learning_curve_is_not_drift_and_a_worse_score_is():
    better = [1 + 100 / rows for rows in (100, 200, 300, 400)]
    assert drift(periods(better, error=1e-6), 4.0) == pytest.approx(0.0, abs=1e-4)
    assert drift(periods(better, error=1e-6), 4.0, sign=1) > 0.5, "a score of which higher is better fell"
    assert drift(periods(better[::-1], error=1e-6), 4.0) > 0.5


@pytest.mark.parametrize("error", [0.0, 1e-200, 1.0])
def test_perfect_and_wild_scores_have_an_interval(error):
    assert math.isfinite(drift(periods([1, 1, 1, 1], error=error), 4.0))
    perfect = widened(Measure(1.0, 1.0, 1.0, 9), periods([1, 1, 1, 1], error=error), 4.0, sign=1, most=1.0)
    assert (perfect.low, perfect.high) == (1.0, 1.0)


def test_two_periods_tell_nothing():
    two = periods([1, 9, 0, 0])[:2]
    assert drift(two, 2.0) == 0.0
    measure = Measure(9.0, 8.0, 10.0, 50)
    assert widened(measure, two, 2.0, sign=-1, most=math.inf) == measure


def test_a_wider_interval_contains_the_other_and_stays_possible():
    area = Measure(0.7, 0.68, 0.72, 100)
    found = widened(area, periods([0.9, 0.5, 0.9, 0.7], error=0.01), 4.0, sign=1, most=1.0)
    assert (found.value, found.rows) == (0.7, 100)
    assert 0 < found.low < 0.68 and found.high == 1.0
    error = widened(Measure(3.0, 2.5, 3.5, 100), periods([1, 9, 2, 3.0], error=0.2), 4.0, sign=-1, most=math.inf)
    assert 0 < error.low < 2.5 and error.high > 3.5
    none = widened(Measure(0.0, 0.0, 0.1, 9), periods([0.5, 0.9, 0.3, 0], error=0.01), 4.0, sign=-1, most=math.inf)
    assert none.low == 0.0 and none.high > 0.3


@pytest.mark.parametrize("error", [0.0, 1e-160])
def test_a_metric_without_an_error_is_measured_by_its_steps_alone(error: float) -> None:
    """As a metric that is perfect on every fold: each period counts alike, and nothing overflows."""
    flat = [Period(1.0, error, 100, float(n)) for n in range(6)]
    steps = [Period(1.0 + n % 2, error, 100, float(n)) for n in range(6)]
    assert drift(flat, 6.0) == pytest.approx(0.0, abs=1e-100)
    assert drift(steps, 6.0) == pytest.approx(2.571, abs=1e-3)  # Student's t of five steps
