"""The statistics against SciPy and values that can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mainstem.monitoring.statistics import (
    Bins,
    benjamini_hochberg,
    chi_square_p,
    kolmogorov_p,
    kolmogorov_smirnov,
    population_stability,
    welch,
)

samples = st.lists(st.integers(-20, 20), min_size=2, max_size=60)


@given(samples, samples)
def test_ks_is_scipys(first, second):
    a, b = np.array(first, float), np.array(second, float)
    assert kolmogorov_smirnov(a, b) == pytest.approx(stats.ks_2samp(a, b, method="asymp").statistic)


def test_ks_of_nothing_is_undefined_and_proves_nothing():
    assert np.isnan(kolmogorov_smirnov(np.array([]), np.ones(3)))
    assert kolmogorov_p(float("nan"), 10, 10) == 1.0


@pytest.mark.parametrize("distance", [0.03, 0.05, 0.08])
def test_ks_p_is_near_the_exact_one(distance):
    exact = stats.kstwo.sf(distance, round(2000 * 3000 / 5000))
    assert kolmogorov_p(distance, 2000, 3000) == pytest.approx(exact, rel=0.1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_adjustment_is_scipys(p_values):
    assert benjamini_hochberg(p_values) == pytest.approx(stats.false_discovery_control(p_values).tolist())


def test_adjustment_of_the_known_example():
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert benjamini_hochberg([]) == []


def test_chi_square_is_scipys():
    table = np.array([[120.0, 80, 30, 0], [90.0, 100, 45, 0]])
    expected = stats.chi2_contingency(table[:, :3], correction=False)
    assert chi_square_p(table[0], table[1]) == pytest.approx((expected.statistic, expected.pvalue))
    assert chi_square_p(np.array([5.0, 0]), np.array([9.0, 0])) == (0.0, 1.0)


def test_welch_is_scipys():
    random = np.random.default_rng(0)
    a, b = random.normal(0.3, 1, 40), random.normal(0, 3, 70)
    difference, _, freedom, p = welch(a, b)
    expected = stats.ttest_ind(a, b, equal_var=False, alternative="greater")
    assert (difference, freedom, p) == pytest.approx((a.mean() - b.mean(), expected.df, expected.pvalue))
    assert welch(a[:1], b)[3] == 1.0


def test_stability_index_of_the_textbook():
    assert population_stability(np.array([500.0, 500]), np.array([500.0, 500])) == 0.0
    shifted = population_stability(np.array([5000.0, 5000]), np.array([6000.0, 4000]))
    assert shifted == pytest.approx(0.1 * np.log(1.2) - 0.1 * np.log(0.8), rel=1e-3)


def test_bins_count_nulls_repeats_and_unknown_levels():
    numbers = Bins.of(np.array([0.0] * 90 + [1, 2, 3, 4, 5, np.nan]), text=False)
    counts = numbers.counts(numbers.cells(np.array([0.0, np.nan, 99.0])))
    assert counts.sum() == 3 and counts[-1] == 1
    texts = Bins.of(np.array(["a", "b", None], object), text=True)
    assert texts.counts(texts.cells(np.array(["a", "x", None], object))).tolist() == [1, 0, 1, 1]
