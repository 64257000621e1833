"""Candidates of a large table that are clearly worse are not fitted in all folds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from mainstem.models.algorithms.naive import Constant
from mainstem.models.algorithms.settings import Declared, setting
from mainstem.models.evaluation import comparison
from mainstem.models.evaluation.comparison import compare
from mainstem.models.evaluation.leaderboard import leaderboard
from mainstem.models.metrics import metric
from mainstem.models.search import racing
from mainstem.nodes.kinds import number
from mainstem.testing import learning


@dataclass(frozen=True)
class Shifted(Declared):
    """The mean of the past, and a shift that makes it worse. `fits` counts the fits of each shift."""

    name = "shifted"
    fits = {}  # noqa: RUF012 - shared on purpose

    shift: float = setting(0.0, number(-100))

    def fit(self, examples, settings=None):
        self.fits[self.shift] = self.fits.get(self.shift, 0) + 1
        return Constant(examples.task, np.array([examples.y.mean() + self.shift]), strings_only=False)

    def settle(self, found):
        return {}


@pytest.fixture(autouse=True)
def fits():
    Shifted.fits.clear()
    return Shifted.fits


def rows(*, timed=False):
    found = learning.examples("regression", 600, floats=2, strings=0)
    return found if timed else replace(found, times=np.zeros(600, np.int64))


def compared(examples, *shifts, behind=racing.behind):
    asked = [Shifted(shift=shift) for shift in shifts]
    return compare(examples, asked, metric("rmse"), folds=3, gap="0s", report=lambda told: None, behind=behind)


def test_a_candidate_that_is_clearly_worse_is_fitted_in_one_fold_and_the_card_says_so(fits, monkeypatch):
    monkeypatch.setattr(racing, "MANY_CELLS", 100)
    found = compared(rows(), 0.0, 1e-6, 50.0)
    assert fits == {0.0: 3, 1e-6: 3, 50.0: 1}
    name = found.ranked[-1].name
    assert found.ranked[-1].algorithm.shift == 50.0
    assert [len(found.scores[each.name]) for each in found.ranked] == [3, 3, 1]
    assert found.said[f"{name} compared on"].startswith("1 of 3 folds: ")
    assert "is better in 100% of resamples" in found.said[f"{name} compared on"]
    assert [len(fold.scores) for fold in found.folds] == [3, 2, 2]
    shown = leaderboard(found, metric("rmse"))
    assert shown[-1].candidate == name
    assert shown[-1].mean.rows == len(found.folds[0].future)


def test_a_small_table_and_one_with_time_fit_all_candidates_in_all_folds(fits, monkeypatch):
    compared(rows(), 0.0, 50.0)
    monkeypatch.setattr(racing, "MANY_CELLS", 100)
    compared(rows(timed=True), 0.0, 50.0)
    assert fits == {0.0: 6, 50.0: 6}


def test_a_candidate_that_was_left_out_ranks_last_although_its_fold_was_an_easy_one(fits):
    def second(folds, found, judge):
        return {list(found)[1]: "told"} if len(folds) == 1 else {}

    def is_easy(examples):
        whole = compared(examples, 0.0, behind=None)
        values = whole.scores[whole.chosen]
        return values[0] < np.mean(values)

    examples = next(each for seed in range(20) if is_easy(each := replace(rows(), seed=seed)))
    found = compared(examples, 0.0, 1e-9, behind=second)
    assert found.ranked[-1].algorithm.shift == 1e-9
    assert leaderboard(found, metric("rmse"))[-1].candidate == found.ranked[-1].name


def test_the_winner_and_its_measures_are_those_of_a_comparison_in_all_folds(monkeypatch):
    monkeypatch.setattr(racing, "MANY_CELLS", 100)
    raced, whole = compared(rows(), 0.0, 50.0), compared(rows(), 0.0, 50.0, behind=None)
    assert raced.ranked[0].name == whole.ranked[0].name
    assert raced.scores[raced.chosen] == whole.scores[whole.chosen]
    assert whole.said == {}


def test_the_comparison_says_on_how_many_rows_it_was(monkeypatch):
    monkeypatch.setattr(comparison, "COMPARED_ON", 500)
    assert compared(rows(timed=True), 0.0, 1.0).rows == 500
