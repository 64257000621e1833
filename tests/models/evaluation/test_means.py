"""A mean over folds weights those that define the metric, by their own weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mainstem.errors import ModelError
from mainstem.models.evaluation.comparison import compare, has_classes
from mainstem.models.evaluation.leaderboard import leaderboard
from mainstem.models.metrics import metric
from mainstem.testing import learning


def test_a_fold_without_the_metric_does_not_move_the_weights_of_the_others():
    examples = learning.examples("regression", 600, floats=2, strings=0)
    y = np.abs(examples.y) + 1
    y[len(y) // 3] = 0.0  # one target of 0 makes `mape` undefined
    judge = metric("mape")
    found = compare(replace(examples, y=y), ["naive"], judge, folds=3, gap="0s", report=lambda told: None)
    defined = [judge.value(fold.future.y, fold.scores["naive"]) for fold in found.folds]
    assert [np.isnan(each) for each in defined] == [True, False, False]
    assert [fold.weight for fold in found.folds] == [1, 2, 3]
    mean = (2 * defined[1] + 3 * defined[2]) / 5
    assert found.means == {"naive": pytest.approx(mean)} and found.scores == {"naive": tuple(defined[1:])}
    assert mean != pytest.approx((defined[1] + 2 * defined[2]) / 3)
    assert leaderboard(found, judge)[0].mean.value == pytest.approx(mean)


def test_rows_of_weight_0_are_no_rows_to_learn_from():
    given = replace(learning.examples("binary", 40), weights=np.zeros(40))
    with pytest.raises(ModelError, match="a fold has no row that counts"):
        has_classes(given, 1, 3)
    alike = replace(given, weights=np.where(given.y > 0, 1.0, 0.0))
    with pytest.raises(ModelError, match="a fold has only one class"):
        has_classes(alike, 1, 3)
