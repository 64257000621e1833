"""Metrics equal scikit-learn's; intervals cover; paired differences are oriented."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from mainstem.errors import UnknownName
from mainstem.models.metrics import (
    METRICS,
    average_precision,
    confusion,
    decided,
    difference,
    for_task,
    measure,
    measured_for,
    measures,
    metric,
    row_loss,
)


@st.composite
def ranked(draw, positives=1, negatives=0):
    """0/1 labels, scores with many ties, and weights."""
    n = draw(st.integers(positives + negatives, 60))
    y = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 1)))
    y[:positives], y[positives : positives + negatives] = 1, 0
    scores = draw(hnp.arrays(float, n, elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])))
    weights = draw(hnp.arrays(float, n, elements=st.sampled_from([0.0, 0.5, 1.0, 3.0])))
    weights[: positives + negatives] = 1.0
    return y, scores, weights


@given(ranked(negatives=1))
def test_average_precision_is_sklearns(case):
    y, scores, weights = case
    assert average_precision(y, scores) == pytest.approx(sk.average_precision_score(y, scores), abs=1e-12)
    assert average_precision(y, scores, weights) == pytest.approx(
        sk.average_precision_score(y, scores, sample_weight=weights), abs=1e-12
    )


@pytest.mark.parametrize("name", ["average_precision", "roc_auc"])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_ranking_of_one_class_is_undefined(name, label):
    assert np.isnan(metric(name).value(np.full(5, label), np.arange(5.0)))


@given(ranked(negatives=1))
def test_roc_auc_is_sklearns(case):
    y, scores, weights = case
    expected = sk.roc_auc_score(y, scores, sample_weight=weights)
    assert metric("roc_auc").value(y, scores, weights) == pytest.approx(expected, abs=1e-12)


@given(ranked(negatives=1))
def test_binary_means_are_sklearns(case):
    y, scores, weights = case
    soft = np.clip(scores, 0.01, 0.99)
    assert metric("log_loss").value(y, soft, weights) == pytest.approx(
        sk.log_loss(y, soft, sample_weight=weights, labels=[0, 1])
    )
    assert metric("brier").value(y, soft, weights) == pytest.approx(sk.brier_score_loss(y, soft, sample_weight=weights))
    assert metric("accuracy").value(y, soft, weights) == pytest.approx(
        sk.accuracy_score(y, soft >= 0.5, sample_weight=weights)
    )


@given(st.integers(2, 50), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_multiclass_is_sklearns(n, k, seed):
    rng = np.random.default_rng(seed)
    y, p = rng.integers(0, k, n), rng.dirichlet(np.ones(k), n)
    weights = rng.integers(1, 4, n).astype(float)
    assert metric("log_loss").value(y, p, weights) == pytest.approx(
        sk.log_loss(y, p, sample_weight=weights, labels=range(k))
    )
    expected = sk.f1_score(y, p.argmax(1), average="macro", sample_weight=weights, zero_division=0)
    assert metric("macro_f1").value(y, p, weights) == pytest.approx(expected)
    assert metric("accuracy").value(y, p) == pytest.approx(sk.accuracy_score(y, decided(p)))


@given(st.integers(3, 50), st.integers(0, 2**32 - 1))
def test_regression_is_sklearns(n, seed):
    rng = np.random.default_rng(seed)
    y, s = rng.normal(1e6, 3, n), rng.normal(1e6, 3, n)
    weights = rng.integers(1, 4, n).astype(float)
    assert metric("mae").value(y, s, weights) == pytest.approx(sk.mean_absolute_error(y, s, sample_weight=weights))
    assert metric("rmse").value(y, s, weights) == pytest.approx(sk.root_mean_squared_error(y, s, sample_weight=weights))
    assert metric("r2").value(y, s, weights) == pytest.approx(sk.r2_score(y, s, sample_weight=weights), rel=1e-6)


AVERAGES = ("macro", "weighted", "micro")


def assert_decisions_are_sklearns(y, scores, weights, classes):
    guess, given = decided(scores), {"sample_weight": weights, "zero_division": 0}
    values = {name: metric(name).value(y, scores, weights) for name in METRICS if METRICS[name].confused}
    assert values["accuracy"] == pytest.approx(sk.accuracy_score(y, guess, sample_weight=weights))
    if len({*y, *guess}) > 1:  # scikit-learn warns of a single label
        assert values["mcc"] == pytest.approx(sk.matthews_corrcoef(y, guess, sample_weight=weights), abs=1e-9)
    recalls = [sk.recall_score(y, guess, labels=[k], average="macro", **given) for k in np.unique(y)]
    assert values["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    for score in ("precision", "recall", "f1"):
        for average in AVERAGES:
            expected = getattr(sk, f"{score}_score")(y, guess, average=average, **given)
            assert values[f"{average}_{score}"] == pytest.approx(expected, abs=1e-12), (average, score)
        if classes == 2 and y.any():
            assert values[score] == pytest.approx(getattr(sk, f"{score}_score")(y, guess, **given), abs=1e-12)
    found = confusion(y, scores)(np.asarray(weights, float))
    assert found.shape == (classes, classes)
    assert found == pytest.approx(sk.confusion_matrix(y, guess, labels=range(classes), sample_weight=weights))


@settings(deadline=None)
@given(st.integers(4, 60), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_decisions_of_several_classes_are_sklearns(n, k, seed):
    rng = np.random.default_rng(seed)
    y, p = rng.integers(0, k, n), rng.dirichlet(np.full(k, 0.5), n)
    assert_decisions_are_sklearns(y, p, rng.integers(1, 4, n).astype(float), k)


@settings(deadline=None)
@given(ranked(negatives=1))
def test_decisions_of_two_classes_are_sklearns(case):
    y, scores, weights = case
    assert_decisions_are_sklearns(y, scores, weights + 0.5, 2)


@given(st.integers(10, 200), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_probabilities_of_several_classes_are_sklearns(n, k, seed):
    rng = np.random.default_rng(seed)
    y, p = rng.permutation(np.arange(n) % k), rng.dirichlet(np.ones(k), n)
    weights = rng.integers(1, 4, n).astype(float)
    if k > 2:
        area = sk.roc_auc_score(y, p, multi_class="ovr", average="macro", sample_weight=weights)
        assert metric("macro_roc_auc").value(y, p, weights) == pytest.approx(area)
        for of in (p, p.round(1)):  # with ties
            for name in ("roc_auc", "average_precision"):
                each = [metric(name).value((y == j).astype(int), of[:, j], weights) for j in range(k)]
                assert metric(f"macro_{name}").value(y, of, weights) == pytest.approx(np.mean(each))
        average = sk.average_precision_score(np.eye(k)[y], p, average="macro", sample_weight=weights)
        assert metric("macro_average_precision").value(y, p, weights) == pytest.approx(average)
    truth = np.eye(k)[y]
    assert metric("brier").value(y, p, weights) == pytest.approx(
        sum(sk.mean_squared_error(truth[:, j], p[:, j], sample_weight=weights) for j in range(k))
    )


@given(st.integers(50, 500), st.integers(0, 2**32 - 1))
def test_calibration_is_the_mean_distance_of_sklearns_curve(n, seed):
    rng = np.random.default_rng(seed)
    scores = rng.random(n)
    y = (rng.random(n) < scores**2).astype(int)
    frequencies, probabilities = calibration_curve(y, scores, n_bins=15, strategy="uniform")
    shares = np.histogram(scores, np.linspace(0, 1, 16))[0]
    shares = shares[shares > 0] / n
    expected = float((shares * np.abs(frequencies - probabilities)).sum())
    assert metric("ece").value(y, scores) == pytest.approx(expected)
    both = np.column_stack([1 - scores, scores])
    top = np.where(scores >= 0.5, y == 1, y == 0).astype(int)
    assert metric("ece").value(y, both) == pytest.approx(metric("ece").value(top, both.max(1)))


@given(st.integers(3, 50), st.integers(0, 2**32 - 1))
def test_relative_errors_and_deviances_are_sklearns(n, seed):
    rng = np.random.default_rng(seed)
    y, s, weights = rng.gamma(2, 3, n) + 0.01, rng.gamma(2, 3, n) + 0.01, rng.integers(1, 4, n).astype(float)
    counts = rng.poisson(2, n).astype(float)
    for name, oracle, truth in (
        ("mse", sk.mean_squared_error, y),
        ("mape", sk.mean_absolute_percentage_error, y),
        ("poisson_deviance", sk.mean_poisson_deviance, counts),
        ("gamma_deviance", sk.mean_gamma_deviance, y),
    ):
        assert metric(name).value(truth, s, weights) == pytest.approx(oracle(truth, s, sample_weight=weights)), name


@pytest.mark.parametrize(
    ("name", "y", "scores"),
    [
        ("mape", [0.0, 1.0], [1.0, 1.0]),
        ("poisson_deviance", [-1.0, 1.0], [1.0, 1.0]),
        ("poisson_deviance", [1.0, 1.0], [0.0, 1.0]),
        ("gamma_deviance", [0.0, 1.0], [1.0, 1.0]),
        ("recall", [0, 0], [0.9, 0.1]),
        ("precision", [0, 0], [0.9, 0.1]),
    ],
)
def test_what_the_rows_cannot_say_is_undefined(name, y, scores):
    assert np.isnan(metric(name).value(np.array(y), np.array(scores)))


def test_metrics_together_are_the_metrics_alone():
    rng = np.random.default_rng(3)
    y, p = rng.integers(0, 3, 300), rng.dirichlet(np.ones(3), 300)
    of = [METRICS[name] for name in for_task("multiclass")]
    together = measures(of, y, p, resamples=50, seed=1)
    assert together == {m.name: measure(m, y, p, resamples=50, seed=1) for m in of}


def test_unusual_metrics_are_measured_where_they_are_asked_for():
    assert "micro_f1" not in measured_for("binary", "f1") and "f1" in measured_for("binary", "log_loss")
    assert "micro_f1" in measured_for("binary", "micro_f1")


def test_undefined_is_nan_not_a_number_of_convenience():
    zeros, scores = np.zeros(5, int), np.linspace(0, 1, 5)
    for name in ("average_precision", "roc_auc"):
        assert np.isnan(metric(name).value(zeros, scores))
    assert np.isnan(metric("r2").value(np.ones(5), scores))
    nothing = measure(metric("average_precision"), np.zeros(0, int), np.zeros(0))
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all() and nothing.rows == 0


def test_row_loss_averages_to_the_metric():
    rng = np.random.default_rng(1)
    y, s = rng.integers(0, 2, 100), rng.random(100)
    assert row_loss("binary", y, s).mean() == pytest.approx(metric("log_loss").value(y, s))
    assert row_loss("binary", np.array([1]), np.array([0.0])) == pytest.approx(-np.log(1e-15))
    assert row_loss("regression", np.array([2.0]), np.array([5.0])).tolist() == [9.0]
    assert row_loss("multiclass", np.array([1]), np.array([[0.5, 0.25, 0.25]])) == pytest.approx(-np.log(0.25))


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_interval_contains_the_value_and_narrows_with_rows(seed):
    rng = np.random.default_rng(seed)
    y = rng.random(4000) < 0.3
    s = np.clip(rng.normal(0.3 + 0.2 * y, 0.2), 0, 1)
    small, large = measure(metric("roc_auc"), y[:400], s[:400]), measure(metric("roc_auc"), y, s)
    assert small.low <= small.value <= small.high
    assert large.high - large.low < small.high - small.low
    assert large == measure(metric("roc_auc"), y, s), "the same seed gives the same interval"


def test_intervals_cover_the_truth_at_about_their_level():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        rows = rng.normal(0, 1, 300)
        m = measure(metric("mae"), rows, np.zeros(300), seed=trial)
        covered += m.low <= np.sqrt(2 / np.pi) <= m.high
    assert 0.90 <= covered / 200 <= 0.99


def test_rows_of_one_group_are_drawn_together():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(50), 40)
    y = np.repeat(rng.normal(0, 1, 50), 40)
    alone = measure(metric("mae"), y, np.zeros(2000))
    together = measure(metric("mae"), y, np.zeros(2000), groups=groups)
    assert together.value == alone.value
    assert together.high - together.low > 3 * (alone.high - alone.low), "2000 rows here say what 50 do"


def test_difference_is_paired_and_positive_when_better():
    rng = np.random.default_rng(0)
    y = rng.random(3000) < 0.3
    noise = rng.normal(0, 0.5, 3000)
    good, bad = y + noise, y + noise + rng.normal(0, 0.4, 3000)
    for name in ("average_precision", "roc_auc"):
        gain = difference(metric(name), y, good, bad)
        assert gain.low > 0
        back = difference(metric(name), y, bad, good)
        assert (back.value, back.low) == pytest.approx((-gain.value, -gain.high))
        alone = measure(metric(name), y, good)
        assert gain.high - gain.low < alone.high - alone.low, "pairing takes the rows' own luck out"
    lower = difference(metric("rmse"), y.astype(float), np.full(3000, 0.3), np.full(3000, 0.9))
    assert lower.low > 0, "a smaller error is a gain"
    same = difference(metric("average_precision"), y, good, good)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_unknown_metric_names_those_of_the_task():
    with pytest.raises(UnknownName, match="unknown binary metric 'rmse'") as error:
        metric("rmse", "binary")
    assert "average_precision" in str(error.value)
    with pytest.raises(UnknownName, match="did you mean"):
        metric("acuracy")
    assert set(for_task("regression")) >= {"mae", "rmse", "mse", "mape", "r2"}
    assert all(m.tasks and m.name == name for name, m in METRICS.items())


def test_a_bootstrap_does_not_sort_again():
    rng = np.random.default_rng(0)
    y, s = rng.random(55_000) < 0.3, rng.random(55_000)
    sorts = []
    original = np.argsort
    try:
        np.argsort = lambda *a, **k: sorts.append(1) or original(*a, **k)
        started = time.process_time()
        measure(metric("average_precision"), y, s, resamples=200)
    finally:
        np.argsort = original
    assert len(sorts) == 1 and time.process_time() - started < 30


def test_the_interval_of_ece_contains_its_value():
    """Resamples are less calibrated than their sample, so their percentiles would lie above the value."""
    rng = np.random.default_rng(3)
    for n in (60, 300, 2_000):
        scores = rng.random(n)
        y = (rng.random(n) < scores).astype(int)
        found = measure(metric("ece"), y, scores)
        assert 0 <= found.low < found.value < found.high


@given(ranked(negatives=1))
def test_pinball_is_sklearns(case):
    y, scores, weights = case
    for name, share in (("pinball_10", 0.1), ("pinball_50", 0.5), ("pinball_90", 0.9)):
        expected = sk.mean_pinball_loss(y, scores, sample_weight=weights, alpha=share)
        assert metric(name, "regression").value(y, scores, weights) == pytest.approx(expected, abs=1e-12)


def test_metrics_that_share_an_order_have_the_values_that_each_has_alone():
    random = np.random.default_rng(3)
    y, scores = random.integers(0, 2, 300), random.random(300).round(2)  # with ties
    judges = [METRICS["roc_auc"], METRICS["log_loss"], METRICS["average_precision"]]
    found = measures(judges, y, scores, groups=np.arange(300) // 10)
    for judge in judges:
        assert found[judge.name] == measure(judge, y, scores, groups=np.arange(300) // 10)
        assert found[judge.name].value == judge.value(y, scores)
    assert np.isnan(measures(judges, np.ones(9, int), scores[:9])["roc_auc"].value)


@pytest.mark.parametrize("name", ["accuracy", "f1", "mcc", "macro_f1", "average_precision"])
def test_no_interval_of_a_share_ends_above_one(name):
    assert METRICS[name].most == 1.0
