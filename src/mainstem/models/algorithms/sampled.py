"""Fit on sampled or weighted rows, and correct the probabilities back to how often classes occur.

A classifier that learns from rows in which class k counts f times as much as it does says odds that are f times too
large (Elkan 2001; Saerens, Latinne and Decaestecker 2002). Its probabilities are divided by the factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms.base import Algorithm, Estimator, Settings, work
from mainstem.models.data.rows import Examples, Rows, Scores, Weigh
from mainstem.models.graphs.builder import Builder
from mainstem.models.splits.parts import dealt
from mainstem.nodes.models import CLASSES
from mainstem.nodes.sampling import Sampling

Factors = NDArray[np.float64]


def fit(algorithm: Algorithm, examples: Examples, settings: Settings | None = None) -> Estimator:
    """Fit an algorithm on the rows that the sampling of the examples chooses.

    One that is made of others fits these. One that is fixed learns nothing from rows: nothing is corrected back.
    """
    if not examples.sampling or takes_all(algorithm):
        return algorithm.fit(examples.evened(), settings)
    learned, factors = sampled(examples)
    found = algorithm.fit(learned.evened(), settings)
    return found if factors is None else Corrected(found, factors, examples.task == "multiclass")


def takes_all(algorithm: Algorithm) -> bool:
    """Return whether an algorithm gets the examples as they are: it is made of others, or does not learn from rows."""
    return bool(getattr(algorithm, "composed", False) or getattr(algorithm, "fixed", False))


@dataclass(frozen=True, eq=False)
class Corrected:
    """A fitted estimator whose probabilities are divided by the `factors` [K] by which its classes counted more.

    It has a probability for each class if it is `wide`, else that of the second.
    """

    of: Estimator
    factors: Factors
    wide: bool = False

    @property
    def settings(self) -> Settings:
        return self.of.settings

    @property
    def conversions(self) -> Sequence[Corrected]:
        """The conversions to try, as the estimator has them."""
        return tuple(Corrected(each, self.factors, self.wide) for each in getattr(self.of, "conversions", (self.of,)))

    def scores(self, rows: Rows) -> Scores:
        found = self.of.scores(rows)
        if self.wide:
            parts = found / self.factors
            return np.asarray(parts / parts.sum(1, keepdims=True))
        true, false = found / self.factors[1], (1 - found) / self.factors[0]
        return np.asarray(true / (true + false))

    def onnx(self, builder: Builder) -> str:
        found = self.of.onnx(builder)
        if self.wide:
            parts = builder.add("Div", builder.cast(found, "DOUBLE"), builder.constant(self.factors))
            total = builder.add("ReduceSum", parts, builder.constant(np.array([1], np.int64)), keepdims=1)
            return builder.add("Div", parts, total)
        one = builder.constant(np.array(1.0))
        true = builder.add("Div", found, builder.constant(self.factors[1]))
        false = builder.add("Div", builder.add("Sub", one, found), builder.constant(self.factors[0]))
        return builder.add("Div", true, builder.add("Add", true, false))

    def importances(self, inputs: int) -> NDArray[np.float64]:
        return self.of.importances(inputs)

    @property
    def work(self) -> float:
        """About how many multiplications a score takes."""
        return work(self.of)


def sampled(examples: Examples) -> tuple[Examples, Factors | None]:
    """Return the rows to learn from with their weights, and by how much more each class counts in them."""
    asked = examples.sampling
    found = replace(_budgeted(examples, asked), sampling=Sampling())
    if asked.half is not None:
        found = _weighed(found, Recent(int(found.times.max()), asked.half))
    if not asked.of_classes:
        return found, None
    before = _counts(found)
    found = _resampled(found, asked) if asked.resample else _weighed(found, OfClasses(_class_weights(found, asked)))
    after = _counts(found)
    present = before > 0
    factors = np.ones(len(before))
    factors[present] = after[present] / before[present]
    return found, factors / factors[present].mean()


def _budgeted(examples: Examples, asked: Sampling) -> Examples:
    if asked.max_rows is None or len(examples) <= asked.max_rows:
        return examples
    if examples.queries is not None:
        return examples.take(examples.some(asked.max_rows, examples.seed))
    drawn = dealt(examples.y, examples.seed) < asked.max_rows / len(examples)
    if examples.task in CLASSES:  # a class of few rows may have none among the drawn ones
        classes, first = np.unique(examples.y, return_index=True)
        drawn[first[~np.isin(classes, examples.y[drawn])]] = True
    return examples.take(np.flatnonzero(drawn))


def _resampled(examples: Examples, asked: Sampling) -> Examples:
    """Return the rows with equally many of each class. The copies of a row are a group, which splits keep together."""
    random = np.random.default_rng(examples.seed)
    rows = [np.flatnonzero(examples.y == k) for k in np.unique(examples.y)]
    sizes = [len(each) for each in rows]
    if asked.resample == "under":
        drawn = [np.sort(random.permutation(each)[: min(sizes)]) for each in rows]
        return examples.take(np.sort(np.concatenate(drawn)))
    drawn = [np.concatenate([each, random.choice(each, max(sizes) - len(each))]) for each in rows]
    taken = np.sort(np.concatenate(drawn))
    copied = taken.astype(np.int64)
    groups = copied if examples.groups is None else examples.groups[taken]
    return replace(examples.take(taken), groups=groups, copied=copied)


@dataclass(frozen=True, eq=False)
class Recent:
    """Weights of rows that halve in `half` µs before the `latest`."""

    latest: int
    half: float

    def __call__(self, y: NDArray[Any], times: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(np.exp2(-(self.latest - times) / self.half))


@dataclass(frozen=True, eq=False)
class OfClasses:
    """The `weights` [K] of rows by their class."""

    weights: NDArray[np.float64]

    def __call__(self, y: NDArray[Any], times: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(self.weights[y])


def _class_weights(examples: Examples, asked: Sampling) -> NDArray[np.float64]:
    if asked.class_weight == "balanced":
        counts = _counts(examples)
        return np.asarray(counts.sum() / np.maximum(counts, 1e-12))
    return np.array(examples.class_weights, float)


def _weighed(examples: Examples, weigh: Weigh) -> Examples:
    """Return the rows with their weights multiplied, of mean 1."""
    weights = weigh(examples.y, examples.times)
    product = weights if examples.weights is None else examples.weights * weights
    beyond = None if examples.beyond is None else examples.beyond.weighed(weigh, float(product.mean()))
    return replace(examples, weights=np.asarray(product / product.mean()), beyond=beyond)


def _counts(examples: Examples) -> NDArray[np.float64]:
    """Return how much each class counts: the share of its rows' weights."""
    found = np.bincount(examples.y, examples.weights, minlength=examples.classes or 2).astype(float)
    return np.asarray(found / found.sum())
