"""Decide between trials: the best of the defaults is the incumbent, and stays unless another is better beyond noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isinf

from mainstem.models.algorithms.estimators import SklearnEstimator
from mainstem.models.data.rows import Scores
from mainstem.models.evaluation.comparison import Fold, Outcome
from mainstem.models.metrics import Metric
from mainstem.models.search import ensemble
from mainstem.models.search.calibration import inner
from mainstem.models.search.evidence import LEADERS, confidence, lead
from mainstem.models.search.trials import Tried
from mainstem.models.splits import is_timed

SETTINGS_SURE = 0.75
"""The share of resamples in which the best trial must be better than the incumbent on rows that did not choose it."""

ENSEMBLE_SURE = 0.9
"""The share of resamples in which an ensemble must be better than the incumbent, which has a share of it."""

UNKNOWN = "no time was left to tell whether it is better"

SELECTING, COMPARING = 0.4, 0.2
"""The share of the time that is left which the choice of an ensemble may use, and that of the rest which its comparison
may use. What is left after these is for the comparison of trials, which is the longest."""


@dataclass(frozen=True, eq=False)
class Decided:
    """Trials, the best first, and the `winner` among them. With `weights`, an ensemble with these `outcomes` is
    preferred to it. `said` is what the card says of the choice."""

    ordered: Sequence[Tried]
    winner: Tried
    said: Mapping[str, str]
    weights: Mapping[str, float] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()


def decide(
    complete: Sequence[Tried],
    defaults: Sequence[Tried],
    folds: Sequence[Fold],
    judge: Metric,
    left: Callable[[], float],
    *,
    combine: bool,
) -> Decided:
    """Return what is chosen: an ensemble if it may `combine` and that is better than the best of the defaults, else the
    best trial if that is, else the best of the defaults. `left` says how many seconds there are for that."""
    ordered = sorted(complete, key=lambda each: _order(each, judge))
    incumbent = min(defaults, key=lambda each: _order(each, judge))
    pool, costly = _pool(ordered, incumbent) if combine else ({}, {})
    weights = _weights(pool, incumbent, folds, judge, _until(left, SELECTING)) if len(pool) > 1 else {}
    if len(weights) < 2:
        winner, why = _winner(ordered, incumbent, folds, judge, left)
        return Decided(ordered, winner, {"choice": why, **costly})
    outcomes = ensemble.combined(weights, [(name, pool[name].outcomes) for name in weights], folds, judge)
    sure = confidence(judge, folds, _scores(outcomes), _scores(incumbent.outcomes), _until(left, COMPARING))
    better = f"better than {_named(incumbent)} in {sure:.0%} of resamples, needed {ENSEMBLE_SURE:.0%}"
    better = better if sure == sure else UNKNOWN
    if sure >= ENSEMBLE_SURE:
        return Decided(ordered, incumbent, {"choice": f"an ensemble: {better}", **costly}, weights, outcomes)
    winner, why = _winner(ordered, incumbent, folds, judge, left)
    return Decided(ordered, winner, {"choice": why, "ensemble": f"not used: {better}", **costly})


def _weights(
    pool: Mapping[str, Tried], incumbent: Tried, folds: Sequence[Fold], judge: Metric, has_time: Callable[[], bool]
) -> Mapping[str, float]:
    name = incumbent.candidate.name
    return ensemble.selected(
        [(each, one.outcomes) for each, one in pool.items()],
        folds,
        judge,
        has_time,
        incumbent=name if name in pool else None,
        share=_share(folds),
    )


def _share(folds: Sequence[Fold]) -> float:
    few = sum(len(fold.future) for fold in folds) < ensemble.FEW
    return ensemble.SHARE_OF_FEW if few or any(is_timed(fold.future.times) for fold in folds) else ensemble.SHARE


def _winner(
    ordered: Sequence[Tried], incumbent: Tried, folds: Sequence[Fold], judge: Metric, left: Callable[[], float]
) -> tuple[Tried, str]:
    """Return the best trial if it is better than the incumbent beyond noise, else the incumbent; and why, in words."""
    best = ordered[0]
    if best is incumbent:
        return best, f"kept {_named(incumbent)}: no trial was better"
    leaders = [_scores(each.outcomes) for each in ordered[:LEADERS]]
    sure = lead(judge, folds, leaders, _scores(incumbent.outcomes), _until(left, 1))
    if sure != sure:
        return incumbent, f"kept {_named(incumbent)}: {UNKNOWN}"
    where = f"{sure:.0%} of resamples on the rows that did not choose it, needed {SETTINGS_SURE:.0%}"
    if sure >= SETTINGS_SURE:
        return best, f"{best.candidate.name}: the best trial was better than {_named(incumbent)} in {where}"
    return incumbent, f"kept {_named(incumbent)}: no trial was better beyond noise; the best was in {where}"


def _pool(ordered: Sequence[Tried], incumbent: Tried) -> tuple[dict[str, Tried], dict[str, str]]:
    """Return what an ensemble may have: complete trials whose export cannot fail and whose scores do not take much more
    work than those of the incumbent, and the incumbent among them. And what the card says of those that do."""
    able = [
        each
        for each in ordered
        if not isinstance(inner(each.candidate.algorithm), SklearnEstimator) and each.mean == each.mean
    ]
    most = ensemble.COSTLIER * max(_work(incumbent), ensemble.USUAL_WORK)
    found = [each for each in able if _work(each) <= most]
    kept = [*found[: ensemble.POOL], *(each for each in found[ensemble.POOL :] if each is incumbent)]
    return {each.candidate.name: each for each in kept}, _costly([each for each in able if _work(each) > most], most)


def _costly(left_out: Sequence[Tried], most: float) -> dict[str, str]:
    if not left_out:
        return {}
    counted = "1 trial" if len(left_out) == 1 else f"{len(left_out):,} trials"
    example = f"a score of {left_out[0].candidate.name} takes {_work(left_out[0]):,.0f} multiplications"
    return {"too costly for an ensemble": f"{counted}: {example}, at most {most:,.0f}"}


def _work(tried: Tried) -> float:
    return max(one.work for one in tried.outcomes)


def _until(left: Callable[[], float], share: float) -> Callable[[], bool]:
    """Return what says whether a share of the time that is left now is not used up."""
    now = left()
    ends = 0.0 if isinf(now) else max(now, 0.0) * (1 - share)
    return lambda: left() > ends


def _scores(outcomes: Sequence[Outcome]) -> list[Scores]:
    return [one.scores for one in outcomes]


def _named(incumbent: Tried) -> str:
    return f"{incumbent.candidate.name} with its defaults"


def _order(tried: Tried, judge: Metric) -> float:
    return float("inf") if tried.mean != tried.mean else -judge.sign * tried.mean
