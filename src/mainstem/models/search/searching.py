"""A search as a comparison: what was tried, the winner, and an ensemble if it is better by more than noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from mainstem.models.algorithms import Candidate, candidates
from mainstem.models.algorithms.estimators import SklearnEstimator
from mainstem.models.data.rows import Examples
from mainstem.models.engineering import recipes
from mainstem.models.evaluation.comparison import Comparison, Fold, compared, divided
from mainstem.models.metrics import Metric
from mainstem.models.search import ensemble
from mainstem.models.search.budget import Allowance, Budget
from mainstem.models.search.calibration import inner
from mainstem.models.search.evidence import confidence
from mainstem.models.search.memory import Memory
from mainstem.models.search.trials import Report, Trials, Tried
from mainstem.models.search.workers import workers
from mainstem.nodes.evaluations import Search

SETTINGS_SURE = 0.75
"""The share of resamples in which found settings must be better than the best defaults to be preferred to them."""

ENSEMBLE_SURE = 0.9
"""The same for an ensemble beside the best candidate: it costs more for each prediction."""


def search(
    train: Examples,
    asked: Sequence[Any],
    judge: Metric,
    *,
    folds: int,
    gap: str,
    window: str | None,
    allowance: Allowance,
    combine: bool,
    memory: Memory,
    report: Report,
    engineer: bool = False,
    jobs: int = 1,
    clock: Callable[[], float] = perf_counter,
) -> Comparison:
    """Search for settings of the candidates on the folds that they are compared on.

    The comparison has the candidates with their defaults, the best settings that were found for each, and the members
    of the ensemble. If `engineer`, features that are made of the inputs and selections of them are tried too. Up to
    `jobs` processes fit. The test rows are not touched. Raises `ModelError` if no fold is usable, or if a candidate
    fails with its defaults.
    """
    sample, parts = divided(train, folds=folds, gap=gap, window=window)
    budget = allowance.next()
    ways = recipes(sample) if engineer else []
    with workers(jobs, parts) as helping:
        trials = Trials(candidates(asked), parts, judge, budget, memory, report, clock, ways, helping, jobs)
        trials.run(stopped=allowance.stopped)
    report("compared what was tried …")
    found = _compared(trials, sample, parts, judge, combine=combine)
    allowance.stopped |= trials.interrupted
    allowance.used(trials.seconds)
    record = Search(allowance.said, round(trials.seconds, 3), trials.ended, tuple(trials.told), judge.sign > 0)
    return replace(found, search=record, said={"search": _said(record, budget, allowance), **found.said})


def _compared(trials: Trials, sample: Examples, folds: Sequence[Fold], judge: Metric, *, combine: bool) -> Comparison:
    ordered = sorted(trials.complete, key=lambda each: _order(each, judge))
    winner = _winner(ordered, trials.defaults, folds, judge)
    pool = _pool(ordered)
    weights = ensemble.selected(pool, folds, judge, trials.has_time) if combine and len(pool) > 1 else None
    members = set(weights or ())
    best: dict[str, Tried] = {}
    for each in ordered:
        best.setdefault(each.base, each)
    shown_ones = [winner, *best.values(), *trials.defaults, *(e for e in ordered if e.candidate.name in members)]
    kept = {each.candidate.name: each for each in shown_ones}
    found = compared([(each.candidate, each.outcomes) for each in kept.values()], sample, folds, judge)
    found = found.led_by(winner.candidate, winner.outcomes, {}, found.settings[winner.candidate.name])
    if weights is None:
        return found
    outcomes = ensemble.combined(weights, pool, folds, judge)
    sure = confidence(judge, folds, [one.scores for one in outcomes], [one.scores for one in winner.outcomes])
    if sure < ENSEMBLE_SURE:
        said = f"not used: better than {winner.candidate.name} in {sure:.0%} of resamples, needed {ENSEMBLE_SURE:.0%}"
        return replace(found, said={"ensemble": said})
    made = tuple(
        ensemble.Member(weight, kept[name].candidate, found.settings[name]) for name, weight in weights.items()
    )
    said = ", ".join(f"{each.weight:.2f} {each.candidate.name}" for each in made)
    return found.led_by(Candidate(ensemble.NAME, ensemble.Ensemble(made)), outcomes, {"ensemble": said})


def _order(tried: Tried, judge: Metric) -> float:
    return float("inf") if tried.mean != tried.mean else -judge.sign * tried.mean


def _winner(ordered: Sequence[Tried], defaults: Sequence[Tried], folds: Sequence[Fold], judge: Metric) -> Tried:
    """Return the best trial, or the best of the defaults if the other is not better by more than noise."""
    best, usual = ordered[0], min(defaults, key=lambda each: _order(each, judge))
    if best is usual:
        return best
    sure = confidence(judge, folds, [one.scores for one in best.outcomes], [one.scores for one in usual.outcomes])
    return best if sure >= SETTINGS_SURE else usual


def _pool(ordered: Sequence[Tried]) -> list[tuple[str, Any]]:
    """Return what an ensemble may have: complete trials whose export cannot fail."""
    found = [
        (each.candidate.name, each.outcomes)
        for each in ordered
        if not isinstance(inner(each.candidate.algorithm), SklearnEstimator) and each.mean == each.mean
    ]
    return found[: ensemble.POOL]


def _said(record: Search, budget: Budget, allowance: Allowance) -> str:
    """Return in words what was searched, for the card."""
    states = [each.state for each in record.trials]
    counted = f"{len(states):,} trials ({states.count('stopped'):,} stopped early, {states.count('failed'):,} failed)"
    share = f", {budget.seconds:.4g} s of it for this search" if budget.seconds is not None else ""
    return f"{counted} in {record.seconds:.1f} s; tune={allowance.said}{share}; ended because {record.ended}"
