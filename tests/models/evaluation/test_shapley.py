"""Contributions add up to the score, and are the Shapley values that all orders of the inputs give."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from mainstem.models.data.rows import Rows
from mainstem.models.evaluation.shapley import background_rows, shapley


def rows(n, seed, floats=3):
    rng = np.random.default_rng(seed)
    return Rows(rng.normal(0, 1, (n, floats)).astype(np.float32), rng.choice(np.array(["a", "b"], object), (n, 1)))


def score(found):
    x, text = found.floats.astype(float), found.strings[:, 0] == "a"
    return x[:, 0] * x[:, 1] + np.where(text, 3.0, x[:, 2])


def exact(row, background):
    """Shapley values by every order of the four inputs, beside every background row."""
    effects = np.zeros(4)
    for order in permutations(range(4)):
        floats, strings = background.floats.copy(), background.strings.copy()
        last = score(Rows(floats, strings)).mean()
        for place in order:
            (floats if place < 3 else strings)[:, place % 3] = (row.floats if place < 3 else row.strings)[0, place % 3]
            now = score(Rows(floats, strings)).mean()
            effects[place] += (now - last) / 24
            last = now
    return effects


def test_contributions_are_shapley_values_within_their_error():
    row, background = rows(1, 1), rows(400, 2)
    found, expected = shapley(score, row, background), exact(row, background)
    assert found.base == pytest.approx(score(background).mean())
    assert found.base + found.effects.sum() == pytest.approx(score(row)[0], abs=1e-9)
    # The error is that of other background rows too; here only the orders are drawn.
    assert np.abs(found.effects - expected).max() < 3 * found.errors.max()
    assert (found.errors > 0).all()


def test_an_additive_model_needs_no_luck():
    row, background = rows(1, 3), rows(20, 4)
    found = shapley(lambda r: r.floats.astype(float) @ [1.0, -2.0, 0.0], row, background, seed=9)
    means = background.floats.astype(float).mean(0)
    expected = (row.floats[0].astype(float) - means) * [1.0, -2.0, 0.0]
    assert found.effects == pytest.approx([*expected, 0.0], abs=1e-6)


def test_each_class_has_contributions():
    def classes(found):
        high = 1 / (1 + np.exp(-score(found)))
        return np.c_[high, 1 - high]

    found = shapley(classes, rows(1, 5), rows(30, 6))
    assert found.effects.shape == (4, 2) and found.effects.sum(1) == pytest.approx(0, abs=1e-12)


def test_wide_models_are_explained_beside_fewer_rows():
    assert [background_rows(n) for n in (1, 199, 400, 2_000)] == [100, 100, 49, 10]


def test_many_inputs_are_scored_in_parts():
    row, background = rows(1, 7, floats=300), rows(30, 8, floats=300)
    asked = []

    def total(found):
        asked.append(found.floats.size)
        return found.floats.astype(float).sum(1)

    found = shapley(total, row, background)
    assert found.base + found.effects.sum() == pytest.approx(float(row.floats.sum()), abs=1e-3)
    assert max(asked) < 2_500_000 and len(asked) > 1
