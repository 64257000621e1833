"""A search as a comparison: what was tried, and what was chosen of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from mainstem.models.algorithms import Candidate, candidates
from mainstem.models.data.rows import Examples
from mainstem.models.engineering import recipes
from mainstem.models.evaluation.comparison import Comparison, Fold, compared, divided
from mainstem.models.metrics import Metric
from mainstem.models.search import ensemble
from mainstem.models.search.budget import Allowance, Budget
from mainstem.models.search.deciding import decide
from mainstem.models.search.memory import Memory
from mainstem.models.search.trials import Report, Trials, Tried
from mainstem.models.search.workers import workers
from mainstem.nodes.evaluations import Search


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
    decided = decide(trials.complete, trials.defaults, folds, judge, trials.left, combine=combine)
    best: dict[str, Tried] = {}
    for each in decided.ordered:
        best.setdefault(each.base, each)
    members = (each for each in decided.ordered if each.candidate.name in decided.weights)
    kept = {each.candidate.name: each for each in (decided.winner, *best.values(), *trials.defaults, *members)}
    found = compared([(each.candidate, each.outcomes) for each in kept.values()], sample, folds, judge)
    first = decided.winner.candidate
    found = found.led_by(first, decided.winner.outcomes, decided.said, found.settings[first.name])
    if not decided.weights:
        return found
    made = tuple(
        ensemble.Member(weight, kept[name].candidate, found.settings[name]) for name, weight in decided.weights.items()
    )
    said = ", ".join(f"{each.weight:.2f} {each.candidate.name}" for each in made)
    return found.led_by(Candidate(ensemble.NAME, ensemble.Ensemble(made)), decided.outcomes, {"ensemble": said})


def _said(record: Search, budget: Budget, allowance: Allowance) -> str:
    """Return in words what was searched, for the card."""
    states = [each.state for each in record.trials]
    counted = f"{len(states):,} trials ({states.count('stopped'):,} stopped early, {states.count('failed'):,} failed)"
    share = f", {budget.seconds:.4g} s of it for this search" if budget.seconds is not None else ""
    return f"{counted} in {record.seconds:.1f} s; tune={allowance.said}{share}; ended because {record.ended}"
