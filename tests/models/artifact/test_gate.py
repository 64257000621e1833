"""An artifact that scores otherwise than its model is none, and the gate's rows find out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mainstem.errors import GateError
from mainstem.models.algorithms import algorithm
from mainstem.models.artifact import export, gate
from mainstem.models.data.rows import NULL


@pytest.fixture
def fitted(worlds):
    estimator = algorithm("linear").fit(worlds.examples("binary"))
    return estimator, export.graph(estimator, 5, 2, "binary"), worlds.rows(300, seed=4)


def test_disturbed_rows_hold_what_goes_wrong(worlds):
    rows = gate.disturbed(worlds.rows(1000), np.random.default_rng(0))
    assert np.isnan(rows.floats[:, 0]).any() and np.isinf(rows.floats).any() and (rows.floats == 0).any()
    assert {NULL, "", "no such level", "Zürich ✈ 東京"} <= set(rows.strings[:, 0])


def test_a_shifted_weight_is_caught(fitted):
    estimator, model, held_out = fitted
    weights = estimator.weights.copy()
    weights[0] += 1e-3
    with pytest.raises(GateError, match="does not score like the fitted model") as error:
        gate.check(replace(estimator, weights=weights), model, held_out)
    assert "within 1e-06 + 1e-05·|y|" in str(error.value) and "the version was not saved" in str(error.value)


def test_the_rounding_of_large_terms_that_cancel_out_is_no_fault(worlds):
    row, one, other = worlds.rows(1, seed=4), np.array([-27.22786]), np.array([-27.22825])
    assert 0 < gate._compare(row, one, other, 70_000.0) < 1
    with pytest.raises(GateError):
        gate._compare(row, one, other, 27.0)


def test_a_fault_on_unknown_levels_only_is_caught(fitted):
    """No held-out row has an unknown level: only the disturbed ones can find this."""
    estimator, model, held_out = fitted
    seen = estimator.fitted.parts[-1].levels[0]
    held_out.strings[:] = seen.names[0]
    wrong = replace(seen, other=0)
    strings = replace(estimator.fitted.parts[-1], levels=(wrong, *estimator.fitted.parts[-1].levels[1:]))

    class Faulty:
        origins = estimator.fitted.origins

        def transform(self, floats, rows):
            ours = estimator.fitted.transform(floats, rows)
            ours[:, 5 + 2 : 5 + 2 + seen.other + 1] = np.eye(seen.other + 1, dtype=np.float32)[
                strings.levels[0].of(rows)
            ]
            return ours

    assert (
        Faulty().transform(held_out.floats, held_out.strings)
        == estimator.fitted.transform(held_out.floats, held_out.strings)
    ).all()
    with pytest.raises(GateError):
        gate.check(replace(estimator, fitted=Faulty()), model, held_out)


def test_scores_that_are_not_finite_are_caught(fitted):
    estimator, model, held_out = fitted
    with pytest.raises(GateError):
        gate.check(replace(estimator, intercept=np.array([np.nan])), model, held_out)


def test_another_shape_is_caught(fitted, worlds):
    _, model, held_out = fitted
    other = algorithm("linear").fit(worlds.examples("multiclass"))
    with pytest.raises(GateError, match="another shape"):
        gate.check(other, model, held_out)


def test_float64_thresholds_survive(worlds):
    """Values that float32 cannot tell from the threshold: what the converters get wrong."""
    rng = np.random.default_rng(0)
    examples = worlds.examples("regression", 4000, floats=4, strings=0)
    steps = np.nextafter(np.float32(1000), np.float32(2000)) - np.float32(1000)
    examples.rows.floats[:, 0] = np.float32(1000) + steps * rng.integers(0, 50, 4000).astype(np.float32)
    y = examples.y + 1000 * (examples.rows.floats[:, 0] > np.median(examples.rows.floats[:, 0]))
    examples = replace(examples, y=y)
    estimator = algorithm("lightgbm").fit(examples, {"rounds": 60.0})
    model = export.graph(estimator, 4, 0, "regression")
    assert gate.check(estimator, model, examples.rows, rows=4000).largest < 1
