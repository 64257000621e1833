"""Curves, calibration and histograms are small, and say what scikit-learn says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from mainstem.models.data.rows import Examples, Rows
from mainstem.models.evaluation import curves as made


def examples(task, y, classes=0):
    n = len(y)
    rows = Rows(np.zeros((n, 1), np.float32), np.empty((n, 0), object))
    return Examples(rows, np.asarray(y), np.zeros(n, np.int64), task, classes)


@settings(deadline=None)
@given(st.integers(10, 400), st.integers(0, 2**31), st.booleans())
def test_a_curve_has_the_area_of_all_scores(rows, seed, ties):
    rng = np.random.default_rng(seed)
    y = np.r_[0, 1, rng.integers(0, 2, rows)]
    scores = np.clip(y * 0.3 + rng.random(len(y)) * 0.7, 0, 1)
    scores = np.round(scores, 1) if ties else scores
    (curve,) = made.curves(examples("binary", y), scores, ("false", "true"))
    assert len(curve.thresholds) <= made.POINTS and curve.positives == y.sum()
    area = np.trapezoid([0, *curve.recall], [0, *curve.fallout])
    assert area == pytest.approx(sk.roc_auc_score(y, scores), abs=0.015)
    for threshold, recall, precision in zip(curve.thresholds, curve.recall, curve.precision, strict=True):
        flagged = scores >= threshold
        assert recall == pytest.approx(flagged[y == 1].mean(), abs=1e-5)
        assert precision == pytest.approx(y[flagged].mean(), abs=1e-5)


def test_each_class_has_its_curve():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    scores = rng.dirichlet([1, 1, 1], 300)
    found = made.curves(examples("multiclass", y, 4), np.c_[scores, np.zeros(300)], ("a", "b", "c", "never"))
    assert [curve.label for curve in found] == ["a", "b", "c"]


def test_calibration_counts_every_row_once():
    rng = np.random.default_rng(1)
    scores = rng.random(1_000)
    y = (rng.random(1_000) < scores).astype(int)
    (found,) = made.calibration(examples("binary", y), scores, ())
    assert len(found.bins) == 10 and sum(b.rows for b in found.bins) == 1_000
    assert all(b.low <= b.rate <= b.high for b in found.bins)
    assert sum(b.low <= b.score <= b.high for b in found.bins) >= 8, "the scores are calibrated"
    low, high = made.wilson(0.0, 20)
    assert low == 0 and high == pytest.approx(0.161, abs=1e-3)


def test_a_constant_score_has_one_bin():
    (found,) = made.calibration(examples("binary", np.arange(100) % 2), np.full(100, 0.5), ())
    assert [(b.score, b.rate, b.rows) for b in found.bins] == [(0.5, 0.5, 100)]


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_a_histogram_counts_every_value_once(values):
    found = made.histogram(np.array(values))
    assert sum(found.bins) + found.below + found.above == len(values)


def test_residuals_show_where_a_regression_is_off():
    predicted = np.linspace(0, 100, 1_000)
    found = made.residuals(examples("regression", predicted + np.where(predicted > 50, 10, 0)), predicted)
    assert found.bins[0].middle == 0 and found.bins[-1].middle == pytest.approx(10)
