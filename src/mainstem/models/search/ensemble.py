"""Greedy ensemble selection: a weighted mean of what a search tried, as one estimator and one graph.

Method: Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models" (ICML 2004), with
replacement, from the best candidate on. The incumbent is always a member.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms import Candidate
from mainstem.models.algorithms.base import Estimator, Settings
from mainstem.models.data.rows import Examples, Rows, Scores
from mainstem.models.evaluation.comparison import Fold, Outcome, mean_of
from mainstem.models.evaluation.fitting import fitted
from mainstem.models.graphs.builder import Builder
from mainstem.models.metrics import Metric

NAME = "ensemble"

MEMBERS = 5
"""The most members: a prediction costs the sum of theirs."""

COSTLIER = 10.0
"""How many times as much work as the incumbent's a score of a member may be."""

USUAL_WORK = 50_000.0
"""The least work that counts for the incumbent: that of some 150 boosted trees. Any member may be so costly."""

ROUNDS = 15
POOL = 20
"""The candidates to choose from: the best ones."""

SHARE = 0.2
"""The least weight of the incumbent: that of one member of several alike."""

SHARE_OF_FEW = 0.5
"""The same for few rows out of fold, where weights fit noise, and for rows in time: the next period is another one."""

FEW = 5_000
"""Rows out of fold below which they are few."""


@dataclass(frozen=True, eq=False)
class EnsembleScore:
    """The weighted mean of the members' scores. `names` are theirs."""

    members: tuple[tuple[float, Estimator], ...]
    names: tuple[str, ...]
    settings: Settings = field(default_factory=dict)

    def scores(self, rows: Rows) -> Scores:
        return _mean([weight for weight, _ in self.members], [each.scores(rows) for _, each in self.members])

    def onnx(self, builder: Builder) -> str:
        parts = [
            builder.add("Mul", each.onnx(builder), builder.constant(np.array(weight, np.float64)))
            for weight, each in self.members
        ]
        return reduce(lambda left, right: builder.add("Add", left, right), parts)

    def importances(self, inputs: int) -> NDArray[np.float64]:
        return np.asarray(sum(weight * each.importances(inputs) for weight, each in self.members))


@dataclass(frozen=True)
class Member:
    """A candidate with its weight, and the settings of its final fit."""

    weight: float
    candidate: Candidate
    settings: Settings


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Several algorithms whose scores are combined. Each is fitted with the settings that its folds found."""

    members: tuple[Member, ...]
    composed: ClassVar[bool] = True
    prepares: ClassVar[bool] = True

    @property
    def chosen(self) -> dict[str, Any]:
        """The members with their weights and settings, as a card has them."""
        return {
            each.candidate.name: {
                "weight": each.weight,
                "algorithm": getattr(each.candidate.algorithm, "name", type(each.candidate.algorithm).__name__),
                **getattr(each.candidate.algorithm, "chosen", {}),
                **each.settings,
            }
            for each in self.members
        }

    def fit(self, examples: Examples, settings: Settings | None = None) -> EnsembleScore:
        return EnsembleScore(
            tuple((each.weight, fitted(each.candidate, examples, each.settings or None)) for each in self.members),
            tuple(each.candidate.name for each in self.members),
        )

    def settle(self, found: Sequence[Settings]) -> Settings:
        return {}


def selected(
    pool: Sequence[tuple[str, Sequence[Outcome]]],
    folds: Sequence[Fold],
    judge: Metric,
    has_time: Callable[[], bool] = lambda: True,
    *,
    incumbent: str | None = None,
    share: float = SHARE,
) -> Mapping[str, float]:
    """Return the weights of at most `MEMBERS` of the pool whose mean is best out of fold, the `incumbent` among them.

    The pool is best first. Each round adds the candidate, again or anew, that makes the mean best, until none does or
    no time is left. Then the incumbent gets the `share` that it lacks.
    """
    outcomes = dict(pool)
    counts = Counter([pool[0][0]])
    total = [one.scores for one in pool[0][1]]
    best = judge.sign * _value(total, 1, folds, judge)
    always = {incumbent} if incumbent is not None else set()
    for size in range(2, ROUNDS + 1):
        allowed = [name for name in outcomes if name in counts or len({*counts, name} | always) <= MEMBERS]
        found: dict[str, float] = {}
        for name in allowed:
            if not has_time():
                break
            sums = [have + one.scores for have, one in zip(total, outcomes[name], strict=True)]
            found[name] = judge.sign * _value(sums, size, folds, judge)
        if len(found) < len(allowed):
            break
        name = max(found, key=lambda each: found[each])
        if not found[name] > best:
            break
        best = found[name]
        counts[name] += 1
        total = [have + one.scores for have, one in zip(total, outcomes[name], strict=True)]
    rounds = counts.total()
    weights = {name: count / rounds for name, count in counts.items()}
    return weights if incumbent is None else _with_share(weights, incumbent, share)


def _with_share(weights: Mapping[str, float], incumbent: str, share: float) -> Mapping[str, float]:
    if weights.get(incumbent, 0.0) >= share:
        return weights
    others = {name: weight for name, weight in weights.items() if name != incumbent}
    left = (1 - share) / sum(others.values())
    return {incumbent: share, **{name: weight * left for name, weight in others.items()}}


def combined(
    weights: Mapping[str, float], pool: Sequence[tuple[str, Sequence[Outcome]]], folds: Sequence[Fold], judge: Metric
) -> tuple[Outcome, ...]:
    """Return the outcome of an ensemble in each fold."""
    outcomes = dict(pool)
    found = []
    for number, fold in enumerate(folds):
        each = [outcomes[name][number] for name in weights]
        scores = _mean(list(weights.values()), [one.scores for one in each])
        found.append(
            Outcome(
                judge.value(fold.future.truth, scores),
                scores,
                {},
                sum(one.seconds for one in each),
                sum(one.work for one in each),
            )
        )
    return tuple(found)


def _mean(weights: Sequence[float], scores: Sequence[Scores]) -> Scores:
    return np.asarray(sum(weight * each for weight, each in zip(weights, scores, strict=True)))


def _value(sums: Sequence[Scores], size: int, folds: Sequence[Fold], judge: Metric) -> float:
    values = [judge.value(fold.future.truth, each / size) for fold, each in zip(folds, sums, strict=True)]
    return mean_of(values, folds)
