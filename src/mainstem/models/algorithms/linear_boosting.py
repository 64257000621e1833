"""A linear model, and boosted trees on what it leaves: trees alone do not continue a trend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.models.algorithms.base import LARGEST, Settings
from mainstem.models.algorithms.boosted import BoostedScore
from mainstem.models.algorithms.lightgbm import LightGBM
from mainstem.models.algorithms.linear import Linear, LinearScore
from mainstem.models.algorithms.settings import Range, maker, setting
from mainstem.models.data.rows import Examples, Rows, Scores
from mainstem.models.graphs.builder import Builder
from mainstem.nodes.kinds import boolean, number
from mainstem.nodes.prepare import Number

SKEWED = 0.5
"""The skewness from which the logarithm of a number is taken; that of an exponential distribution is 2."""


@dataclass(frozen=True, eq=False)
class LinearBoostingScore:
    """The sum of a linear score and of trees; `factor` times its exponential, clipped to `ends` before, if they are
    logarithms. `spreads` are those of both over the rows of the fit."""

    line: LinearScore
    trees: BoostedScore
    spreads: tuple[float, float]
    ends: tuple[float, float] | None = None
    factor: float = 1.0

    @property
    def settings(self) -> Settings:
        return self.trees.settings

    @property
    def work(self) -> float:
        """About how many multiplications a score takes."""
        return self.line.work + self.trees.work

    def scores(self, rows: Rows) -> Scores:
        raw = self.line.scores(rows) + self.trees.scores(rows)
        return raw if self.ends is None else np.asarray(self.factor * np.exp(np.clip(raw, *self.ends)))

    def onnx(self, builder: Builder) -> str:
        raw = builder.add("Add", self.line.onnx(builder), self.trees.onnx(builder))
        if self.ends is None:
            return raw
        ends = (builder.constant(np.array(end, np.float64)) for end in self.ends)
        return builder.add(
            "Mul", builder.add("Exp", builder.add("Clip", raw, *ends)), builder.constant(np.array(self.factor))
        )

    def importances(self, inputs: int) -> NDArray[np.float64]:
        line, trees = self.line.importances(inputs), self.trees.importances(inputs)
        total = np.asarray(self.spreads[0] * line + self.spreads[1] * trees)
        return total / total.sum() if total.sum() > 0 else total


@dataclass(frozen=True)
class LinearBoosting(LightGBM):
    """Ridge regression, or Poisson regression of counts, and then boosted trees of LightGBM on what it leaves.

    Outside the numbers that were learned from, the linear part goes on and the trees stay as they are. With `log`, the
    target is a logarithm, and so are skewed numbers in the linear part: effects multiply, as prices and sales grow by
    percentages. Targets must be positive then. Expectations are corrected by the mean of the rows of the fit (a ratio
    form of Duan, "Smearing estimate", 1983). They are at most as far beyond the targets of the fit as these are apart.
    """

    name = "linear_boosting"
    tasks = ("regression", "count")
    monotone = ()

    log: bool = setting(False, boolean)
    penalty: float = setting(1.0, number(0), Range(1e-3, 1e3, log=True))

    def fit(self, examples: Examples, settings: Settings | None = None) -> Any:
        found = super().fit(examples, settings)
        # What early stopping watched is the latest part, where a trend shows best: the fit is repeated on all rows.
        return found if settings else super().fit(examples, found.settings)

    def boost(self, examples: Examples, watched: Examples | None, rounds: int, level: float | None = None) -> Any:
        given, logarithms = examples, self.log and examples.task != "count"
        if logarithms:
            examples, watched = _logged(examples), None if watched is None else _logged(watched)
        line = Linear(penalty=self.penalty).fit(_skewed(examples) if self.log else examples).unlinked
        trees = self.boosted(examples, watched, rounds, start=_scoring(line)).unlinked
        parts = line.scores(given.rows), trees.scores(given.rows)
        spreads = (float(parts[0].std()), float(parts[1].std()))
        found = LinearBoostingScore(line, trees, spreads)
        if examples.task == "count":
            return replace(found, ends=(-LARGEST, LARGEST))
        if not logarithms:
            return found
        low, high = float(examples.y.min()), float(examples.y.max())
        bounded = replace(found, ends=(2 * low - high, 2 * high - low))
        means = (np.average(each, weights=given.weights) for each in (given.y, bounded.scores(given.rows)))
        return replace(bounded, factor=float(next(means) / next(means)))


def _logged(examples: Examples) -> Examples:
    """Return the rows with the logarithms of their targets. Raises `ModelError` if one is not positive."""
    wrong = int((examples.y <= 0).sum())
    if wrong:
        raise ModelError(
            "linear_boosting(log=True) requires positive targets",
            got=f"{wrong:,} of {len(examples):,} are 0 or less",
            hint="linear_boosting() without `log`",
        )
    return replace(examples, y=np.log(examples.y))


def _skewed(examples: Examples) -> Examples:
    """Return the rows with a logarithm as the step of each number that has no declared one, is not negative, and is
    less skewed as a logarithm: a price, and not a year."""
    floats = examples.rows.floats.astype(np.float64)
    asked = examples.prepare or (None,) * (floats.shape[1] + examples.rows.strings.shape[1])
    found = [Number(scale="log") if _is_skewed(column[np.isfinite(column)]) else None for column in floats.T]
    steps = (each or own for each, own in zip(asked, [*found, *asked[len(found) :]], strict=True))
    return replace(examples, prepare=tuple(steps))


def _is_skewed(known: NDArray[np.float64]) -> bool:
    if not len(known) or known.min() < 0 or known.min() == known.max():
        return False
    skewness = _skewness(known)
    return skewness > SKEWED and abs(_skewness(np.log1p(known))) < skewness


def _skewness(values: NDArray[np.float64]) -> float:
    away = values - values.mean()
    return float((away**3).mean() / values.std() ** 3)


def _scoring(line: LinearScore) -> Callable[[Examples], Scores]:
    return lambda examples: line.scores(examples.rows)


linear_boosting = maker(LinearBoosting)
