"""What a search chooses: the best of the defaults stays unless another is better beyond noise."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from mainstem.models.algorithms import Candidate, algorithm
from mainstem.models.data.rows import Examples
from mainstem.models.evaluation.comparison import Fold, Outcome, mean_of
from mainstem.models.metrics import metric
from mainstem.models.search.deciding import SETTINGS_SURE, decide
from mainstem.models.search.evidence import confidence, lead
from mainstem.models.search.trials import Tried
from mainstem.testing import learning

JUDGE = metric("rmse")
DAY = 86_400_000_000


def folds_of(rows: int, *, timed: bool = False) -> tuple[Fold, ...]:
    whole = learning.examples("regression", 3 * rows)
    found = []
    for number in range(3):
        part = whole.take(np.arange(number * rows, (number + 1) * rows))
        part = replace(part, times=np.arange(rows) * DAY if timed else np.zeros(rows, np.int64))
        found.append(Fold(part, part, {}))
    return tuple(found)


def tried(name: str, folds: tuple[Fold, ...], errors: np.ndarray) -> Tried:
    """A trial whose scores are beside the truth by so much; an error for each row of each fold."""
    outcomes = tuple(
        Outcome(JUDGE.value(fold.future.y, fold.future.y + each), fold.future.y + each, {}, 1.0)
        for fold, each in zip(folds, errors, strict=True)
    )
    mean = mean_of([one.value for one in outcomes], folds)
    return Tried(Candidate(name, algorithm("linear")), "linear", {}, outcomes, mean)


def noise(seed: int, rows: int, size: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, size, (3, rows))


def decided(trials: list[Tried], folds: tuple[Fold, ...], *, combine: bool = False):
    return decide(trials, trials[:1], folds, JUDGE, lambda: np.inf, combine=combine)


def test_the_luckiest_of_many_does_not_replace_the_default():
    """All err alike, so the best of forty is only luckier. Resamples of the rows that chose it do not show that."""
    kept, believed = 0, 0
    for world in range(8):
        folds = folds_of(60)
        trials = [tried(f"linear #{n}", folds, noise(1_000 * world + n, 60)) for n in range(40)]
        found = decided(trials, folds)
        best = found.ordered[0]
        scores = [[one.scores for one in each.outcomes] for each in (best, trials[0])]
        believed += confidence(JUDGE, folds, *scores) >= SETTINGS_SURE
        kept += found.winner is trials[0]
    assert kept >= 6 and believed >= 6


def test_a_trial_that_is_better_replaces_the_default():
    folds = folds_of(60)
    trials = [tried("linear", folds, noise(0, 60)), *(tried(f"linear #{n}", folds, noise(n, 60)) for n in range(1, 20))]
    trials.append(tried("linear #20", folds, noise(20, 60, 0.5)))
    found = decided(trials, folds)
    assert found.winner.candidate.name == "linear #20"
    assert found.said["choice"].startswith(
        "linear #20: the best trial was better than linear with its defaults in 100%"
    )


def test_the_card_says_why_the_default_was_kept():
    folds = folds_of(60)
    worse = [tried("linear", folds, noise(0, 60)), tried("linear #1", folds, noise(1, 60, 2.0))]
    assert decided(worse, folds).said == {"choice": "kept linear with its defaults: no trial was better"}
    lucky = [tried("linear", folds, noise(0, 60)), *(tried(f"linear #{n}", folds, noise(n, 60)) for n in range(1, 20))]
    said = decided(lucky, folds).said["choice"]
    assert said.startswith("kept linear with its defaults: no trial was better beyond noise; the best was in ")


@pytest.mark.parametrize(("rows", "timed", "share"), [(200, False, 0.5), (2_000, False, 0.2), (2_000, True, 0.5)])
def test_an_ensemble_has_the_incumbent_and_more_of_it_of_few_rows_and_in_time(rows, timed, share):
    folds = folds_of(rows, timed=timed)
    trials = [
        tried("linear", folds, noise(0, rows)),
        *(tried(f"linear #{n}", folds, noise(n, rows, 0.7)) for n in (1, 2)),
    ]
    found = decided(trials, folds, combine=True)
    assert found.weights["linear"] == pytest.approx(share) and len(found.weights) == 3
    assert found.said["choice"].startswith("an ensemble: better than linear with its defaults in 100% of resamples")
    values = [one.value for one in found.outcomes]
    assert mean_of(values, folds) < trials[0].mean


def working(each: Tried, work: float) -> Tried:
    return replace(each, outcomes=tuple(replace(one, work=work) for one in each.outcomes))


@pytest.mark.parametrize(
    ("incumbent", "most"),
    [(20.0, 500_000), (0.0, 500_000), (90_000.0, 900_000)],
)
def test_a_trial_whose_scores_take_much_more_work_is_not_a_member(incumbent, most):
    folds = folds_of(200)
    trials = [
        working(tried("linear", folds, noise(0, 200)), incumbent),
        working(tried("lightgbm #1", folds, noise(1, 200, 0.7)), float(most)),
        working(tried("knn #2", folds, noise(2, 200, 0.6)), most + 1.0),
        working(tried("knn #3", folds, noise(3, 200, 0.5)), most * 2.0),
    ]
    found = decided(trials, folds, combine=True)
    assert set(found.weights) == {"linear", "lightgbm #1"}
    assert found.said["too costly for an ensemble"] == (
        f"2 trials: a score of knn #3 takes {2 * most:,} multiplications, at most {most:,}"
    )
    alone = decided(trials, folds)
    assert "too costly for an ensemble" not in alone.said and alone.winner.candidate.name == "knn #3"
    cheap = decided([working(each, 10.0) for each in trials], folds, combine=True)
    assert len(cheap.weights) == 4 and "too costly for an ensemble" not in cheap.said


def test_an_ensemble_that_is_not_better_is_not_used():
    folds = folds_of(60)
    trials = [
        tried("linear", folds, noise(0, 60)),
        tried("linear #1", folds, noise(0, 60) * 0.9999 + noise(1, 60, 0.3)),
    ]
    found = decided(trials, folds, combine=True)
    assert not found.weights and found.winner is trials[0]


@pytest.mark.parametrize("combine", [False, True])
def test_what_time_does_not_suffice_for_keeps_the_default(combine):
    """Ten draws are too few to tell; the time for twenty is enough."""
    folds = folds_of(60)
    trials = [tried("linear", folds, noise(0, 60)), tried("linear #1", folds, noise(1, 60, 0.1))]
    for seconds, chosen in ((10, "linear"), (10_000, "linear #1")):
        moments = count(seconds, -1)
        found = decide(trials, trials[:1], folds, JUDGE, lambda moments=moments: float(next(moments)), combine=combine)
        assert (set(found.weights) or {found.winner.candidate.name}) == ({"linear", chosen} if combine else {chosen})
        assert ("no time was left to tell" in found.said["choice"]) == (chosen == "linear")


def test_fewer_draws_are_the_first_ones():
    folds = folds_of(60)
    ours, theirs = ([fold.future.y + each for fold, each in zip(folds, noise(n, 60), strict=True)] for n in (0, 1))
    shares = []
    for most in (19, 20, 50, 100):
        left = iter([True] * most * 2 * len(folds) + [False])
        shares.append(confidence(JUDGE, folds, ours, theirs, lambda left=left: next(left)))
    assert np.isnan(shares[0]) and not np.isnan(shares[1:]).any()
    assert shares[3] == confidence(JUDGE, folds, ours, theirs)
    assert shares[2] * 50 <= shares[3] * 100 <= shares[2] * 50 + 50


def test_folds_without_both_classes_count_for_nothing():
    judge = metric("roc_auc")
    rows: Examples = learning.examples("binary", 200)
    one = rows.take(np.flatnonzero(rows.y == 1))
    folds = (Fold(rows, rows, {}), Fold(one, one, {}))
    good = [fold.future.y * 0.8 + 0.1 for fold in folds]
    bad = [np.random.default_rng(0).random(len(fold.future)) for fold in folds]
    assert lead(judge, folds, [good, bad], bad) == 1.0
    assert lead(judge, folds[1:], [good[1:]], bad[1:]) == 0.0
