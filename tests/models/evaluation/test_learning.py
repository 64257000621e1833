"""The learning curve has points for large folds, too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mainstem.models.evaluation import learning
from mainstem.models.evaluation.comparison import compare
from mainstem.models.evaluation.learning import learning_curve, sizes
from mainstem.models.metrics import metric
from mainstem.testing import learning as worlds


@pytest.mark.parametrize(
    ("rows", "inputs", "expected"),
    [
        (40_000, 12, [5_000, 10_000, 20_000]),  # an eighth, a quarter, half
        (500_000, 10, [6_250, 12_500, 25_000]),
        (300, 10, [75, 150]),
        (400, 20_000, [40, 80]),
        (60, 3, []),
    ],
)
def test_parts_are_halves_of_what_is_affordable(rows, inputs, expected):
    assert sizes(rows, inputs) == expected


def test_a_large_fold_has_a_curve_from_smaller_parts(monkeypatch):
    examples = worlds.examples("regression", 900, floats=4, strings=0)
    examples = replace(examples, y=np.asarray(examples.rows.floats[:, 0].clip(-3, 3), float))
    monkeypatch.setattr(learning, "MOST_CELLS", 640)
    judge = metric("rmse")
    compared = compare(examples, ["lightgbm"], judge, folds=2, gap="0s", report=lambda told: None)
    found = learning_curve(compared, judge)
    past = compared.folds[-1].past
    assert [point.rows for point in found] == [40, 80, 160, len(past)] and len(past) > 320
    assert found[0].measure.value > found[-1].measure.value
