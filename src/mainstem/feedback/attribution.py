"""Attribution: find the upstream column that costs a live model its accuracy.

The statistic is the gain of a column j:

    [L(batch) − L(batch, j replaced by its reference)] − [L(reference) − L(reference, j replaced)]

L is the loss of a row (logarithmic, or squared for regression). The gain is large if replacing the column by draws from
the reference hurts less now than before: the column has lost its information, as after a broken join. It is compared
day by day with Welch's test, because rows of one day are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mainstem.models.metrics import Array, row_loss
from mainstem.monitoring.drift import Sample
from mainstem.monitoring.history import clusters
from mainstem.monitoring.statistics import benjamini_hochberg, student_quantile, welch
from mainstem.nodes.models import Task
from mainstem.nodes.records import InputColumn, Measure

Floats = NDArray[np.float64]
Score = Callable[[Mapping[str, Array]], Array]
"""Scores a matrix, given by columns [n], as the artifact does."""

ROWS = 4000
"""The maximum number of scored rows per side. More rows add time, but little certainty: days vary more than rows."""
DRAWS = 2


@dataclass(frozen=True)
class Labelled:
    """Rows with known outcomes: inputs and outcomes [n]."""

    inputs: Sample
    outcomes: Floats

    def __len__(self) -> int:
        return len(self.outcomes)

    def take(self, rows: Array) -> Labelled:
        """Return some of the rows."""
        return Labelled(self.inputs.take(rows), self.outcomes[rows])

    def with_columns(self, columns: Mapping[str, Array]) -> Labelled:
        """Return the rows with some columns replaced."""
        return Labelled(Sample({**self.inputs.columns, **columns}, self.inputs.times), self.outcomes)


@dataclass(frozen=True)
class Gain:
    """The gain of the upstream column(s) `sources`, which the model reads as `inputs`, in loss per row.

    `kept` and `used` are the column's worth in the batch and in the reference: the increase of the loss without it.
    """

    sources: tuple[str, ...]
    inputs: tuple[str, ...]
    gain: Measure
    kept: float
    used: float
    p: float
    adjusted_p: float = 1.0
    detectable: float = field(default=float("nan"))

    @property
    def named(self) -> str:
        """The columns; those that feed the very same inputs cannot be told apart, so all of them."""
        return " or ".join(self.sources)


def grouped(inputs: Sequence[InputColumn]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Group inputs by the upstream column they derive from.

    Columns that feed the same inputs cannot be distinguished and share one entry.
    """
    fed: dict[str, list[str]] = {}
    for column in inputs:
        for source in column.sources or (column.name,):
            fed.setdefault(source, []).append(column.name)
    together: dict[tuple[str, ...], list[str]] = {}
    for source, names in fed.items():
        together.setdefault(tuple(names), []).append(source)
    return {tuple(sources): names for names, sources in together.items()}


def gains(
    batch: Labelled,
    reference: Labelled,
    inputs: Sequence[InputColumn],
    score: Score,
    *,
    task: Task = "binary",
    rows: int = ROWS,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[Gain, ...]:
    """Return the gain of every upstream column, largest first, with p adjusted over all of them.

    The inputs of a column are replaced together, by whole rows of the reference. The loss is averaged over `draws`. At
    most `rows` of each side are scored. The result is deterministic for a seed.
    """
    random = np.random.default_rng(seed)
    sides = [_Side.of(side.take(sampled(len(side), rows, random)), score, task) for side in (batch, reference)]
    found = []
    for sources, names in grouped(inputs).items():
        losses = [side.without(names, reference.inputs, score, draws, random) for side in sides]
        found.append(_gain(sources, names, sides, losses))
    adjusted = benjamini_hochberg([g.p for g in found])
    both = [_adjusted(g, p) for g, p in zip(found, adjusted, strict=True)]
    return tuple(sorted(both, key=lambda g: (g.adjusted_p, -g.gain.value)))


@dataclass(frozen=True)
class _Side:
    """Rows with their current loss."""

    rows: Labelled
    loss: Floats
    task: Task
    days: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Labelled, score: Score, task: Task) -> _Side:
        loss = row_loss(task, rows.outcomes, score(rows.inputs.columns))
        return cls(rows, loss, task, clusters(rows.inputs.times))

    def without(
        self, names: Iterable[str], pool: Sample, score: Score, draws: int, random: np.random.Generator
    ) -> Floats:
        """Return each row's loss now, minus its mean loss with the columns replaced by draws of `pool`."""
        total = np.zeros(len(self.loss))
        for _ in range(draws):
            drawn = random.integers(0, len(pool), len(self.loss))
            columns = {**self.rows.inputs.columns, **{name: pool.columns[name][drawn] for name in names}}
            total += row_loss(self.task, self.rows.outcomes, score(columns))
        return self.loss - total / draws


def _gain(sources: tuple[str, ...], names: tuple[str, ...], sides: Sequence[_Side], change: Sequence[Floats]) -> Gain:
    now, then = (by_cluster(c, side.days) for c, side in zip(change, sides, strict=True))
    difference, error, freedom, p = welch(now, then)
    half = student_quantile(freedom) * error if np.isfinite(error) else float("inf")
    measured = Measure(difference, difference - half, difference + half, len(sides[0].rows))
    detectable = (student_quantile(freedom) + student_quantile(freedom, 0.8)) * error
    return Gain(sources, names, measured, float(-now.mean()), float(-then.mean()), p, detectable=detectable)


def by_cluster(values: Floats, cluster: NDArray[np.int64]) -> Floats:
    """Return the mean of each cluster."""
    counts = np.bincount(cluster)
    return np.bincount(cluster, values)[counts > 0] / counts[counts > 0]


def _adjusted(gain: Gain, p: float) -> Gain:
    from dataclasses import replace

    return replace(gain, adjusted_p=p)


def sampled(available: int, wanted: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Return row numbers in order: a sample, or all if there are not more."""
    if available <= wanted:
        return np.arange(available)
    return np.sort(random.choice(available, wanted, replace=False))
