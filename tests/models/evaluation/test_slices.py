"""Slices: a planted one is found, noise is not, and rows of one day do not count as independent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mainstem.models.data.rows import Examples, Rows
from mainstem.models.evaluation.outofsample import OutOfSample
from mainstem.models.evaluation.slices import _adjusted, slices
from mainstem.models.metrics import metric

INPUTS = [("amount", 0), ("country", 1)]


def measured(n=2_000, seed=0, *, broken=None, units=None):
    """Calibrated scores; in the country `broken` the outcome has nothing to do with them."""
    rng = np.random.default_rng(seed)
    rows = Rows(rng.normal(0, 1, (n, 1)).astype(np.float32), rng.choice(np.array(["DE", "FR", "IT"], object), (n, 1)))
    scores = rng.beta(1, 3, n)
    y = (rng.random(n) < scores).astype(np.int64)
    if broken:
        hit = rows.strings[:, 0] == broken
        y[hit] = (rng.random(hit.sum()) < 0.7).astype(np.int64)
    examples = Examples(rows, y, np.zeros(n, np.int64), "binary")
    return OutOfSample(examples, scores, np.full(n, 0.25), np.zeros(n, np.intp), [])


def test_a_planted_slice_is_found_first_with_its_figures():
    found = slices(measured(broken="IT"), metric("log_loss"), INPUTS, [], None)
    first = found.found[0]
    assert first.where == "country = IT" and first.found == ("loss", "bias") and first.loss_p < 1e-6
    assert first.bias > 0.3 and first.measure.low > first.rest
    assert found.tested == 7, "three countries and four quartiles"


def test_noise_is_not_found():
    wrong = [bool(slices(measured(seed=seed), metric("brier"), INPUTS, [], None).found) for seed in range(20)]
    assert sum(wrong) <= 3


def test_rows_of_one_unit_are_not_independent():
    """Each day has luck of its own. By rows, every level of the day's weather would stand out."""
    rng = np.random.default_rng(5)
    day = np.repeat(np.arange(60), 50)
    weather = rng.choice(np.array(["rain", "sun"], object), 60)[day]
    scores = np.full(len(day), 0.3)
    y = (rng.random(len(day)) < np.clip(0.3 + rng.normal(0, 0.25, 60), 0.02, 0.98)[day]).astype(np.int64)
    rows = Rows(np.empty((len(day), 0), np.float32), weather[:, None])
    found = OutOfSample(
        Examples(rows, y, np.zeros(len(day), np.int64), "binary"), scores, scores, np.zeros(len(day), np.intp), []
    )
    by_row = slices(found, metric("brier"), [("weather", 0)], [], None)
    by_day = slices(found, metric("brier"), [("weather", 0)], [], day)
    assert by_row.found and not by_day.found


def test_declared_slices_are_measured_whatever_they_are():
    found = slices(measured(), metric("roc_auc"), INPUTS, [("country",), ("country", "amount")], None)
    assert [s.where for s in found.declared[:3]] and len(found.declared) == 3 + 12
    assert sum(s.rows for s in found.declared[:3]) == 2_000 == sum(s.rows for s in found.declared[3:])
    assert all(s.measure.low <= s.measure.value <= s.measure.high for s in found.declared[:3])


def test_p_values_are_adjusted_after_benjamini_and_hochberg():
    assert _adjusted([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert _adjusted([]) == []


def test_a_part_where_more_is_true_is_not_worse_for_that_alone():
    found = measured()
    random = np.random.default_rng(1)
    often = found.examples.rows.strings[:, 0] == "IT"
    odds = random.normal(np.where(often, 0.0, -4.0), 1.5)  # where half is true, the loss of the true odds is higher
    rate = 1 / (1 + np.exp(-odds))
    examples = replace(found.examples, y=(random.random(len(rate)) < rate).astype(np.int64))
    honest = replace(found, examples=examples, scores=rate)
    assert [each.where for each in slices(honest, metric("average_precision"), INPUTS, [], None).found] == []
    assert [each.where for each in slices(honest, metric("log_loss"), INPUTS, [], None).found] == ["country = IT"]
