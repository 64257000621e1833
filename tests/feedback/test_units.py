"""Changes of unit: recognised, dated, and not seen where there are none."""

import numpy as np
import pytest

from mainstem.feedback.onset import onset
from mainstem.feedback.units import CONVERSIONS, match

KNOTS_IN_MPH = 1.15078


def delays(seed, rows=3000):
    """Whole minutes: most a little early, some very late."""
    random = np.random.default_rng(seed)
    return np.round(random.normal(-3, 5, rows) + (random.random(rows) < 0.25) * random.gamma(1.2, 30, rows))


def winds(seed, rows=3000):
    random = np.random.default_rng(seed)
    return np.round(random.gamma(4, 2.2, rows)) * KNOTS_IN_MPH


def prices(seed, rows=3000):
    """On no grid."""
    return np.random.default_rng(seed).lognormal(3, 0.6, rows)


def clean(make, *, rows=3000):
    return make(0, 8000), [make(10 + i, rows) for i in range(10)]


def conversion(name):
    return next(c for c in CONVERSIONS if c.name == name)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (delays, "minutes → seconds"),
        (winds, "mph → m/s"),
        (winds, "mph → km/h"),
        (winds, "mph → knots"),
        (prices, "units → thousandths"),
        (prices, "fractions → percent"),
    ],
)
@pytest.mark.parametrize("seed", range(1, 6))
def test_a_conversion_is_named(make, name, seed):
    expected = conversion(name)
    found = match(*_past_and_now(make, make(seed) * expected.factor + expected.offset))
    assert found is not None and found.conversion.factor == pytest.approx(expected.factor)
    assert found.after < found.before / 2


def test_an_affine_one_too():
    def celsius(seed, rows=3000):
        return np.round(np.random.default_rng(seed).normal(12, 6, rows), 1)

    found = match(*_past_and_now(celsius, celsius(1) * 1.8 + 32))
    assert found is not None and found.conversion.name == "°C → °F"
    factor, offset = found.conversion.inverse()
    assert (factor * 212 + offset, factor * 32 + offset) == pytest.approx((100, 0))


def test_rounding_after_the_conversion_does_not_hide_it():
    found = match(*_past_and_now(winds, np.round(winds(1) * 0.44704, 2)))
    assert found is not None and found.conversion.name == "mph → m/s"


@pytest.mark.parametrize("make", [delays, winds, prices])
def test_clean_samples_are_silent_over_many_seeds(make):
    assert [s for s in range(100, 160) if match(*_past_and_now(make, make(s, 800)))] == []


@pytest.mark.parametrize("make", [delays, winds])
@pytest.mark.parametrize("scale", [0.5, 1.3, 2.0])
def test_a_harsher_season_is_no_other_unit(make, scale):
    """The world delays flights twice as much: still whole minutes."""
    random = np.random.default_rng(5)
    grid = 1 if make is delays else KNOTS_IN_MPH
    harsher = np.round(make(5) * scale / grid + random.uniform(-0.5, 0.5, 3000)) * grid
    assert match(*_past_and_now(make, harsher)) is None


def test_too_few_values_tell_nothing():
    past, parts = clean(delays)
    assert match(past, delays(1, 30) * 60, parts) is None
    assert match(past, np.zeros(500), parts) is None
    assert match(past, np.full(500, np.nan), parts) is None


@pytest.mark.parametrize(("make", "name"), [(delays, "minutes → seconds"), (winds, "mph → m/s")])
def test_the_beginning_is_dated_to_the_row(make, name):
    factor = conversion(name).factor
    rows = make(3)
    rows[1200:] *= factor
    past, parts = clean(make)
    found = match(past, rows[1200:], parts)
    holds = onset(past, rows, found)
    told = np.flatnonzero(rows[1190:1210] != 0) + 1190
    assert holds.first == told[told >= 1200][0] and holds.last is None


def test_the_end_is_dated_where_the_vendor_mended_it():
    rows = winds(4)
    rows[500:2000] *= 0.44704
    past, parts = clean(winds)
    holds = onset(past, rows, match(past, rows[500:2000], parts))
    assert rows[holds.first : holds.last + 1].size == pytest.approx(1500, abs=3)
    assert holds.first == pytest.approx(500, abs=2)


def _past_and_now(make, now):
    past, parts = clean(make)
    return past, now, parts
