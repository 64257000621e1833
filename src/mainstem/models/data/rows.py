"""Rows as algorithms see them: a block of numbers, a block of texts, and labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.ahead import Ahead
from mainstem.models.data.quantiles import packed
from mainstem.nodes.engineering import Engineer, Selection
from mainstem.nodes.models import Task
from mainstem.nodes.prepare import Step
from mainstem.nodes.sampling import Sampling

Matrix = NDArray[np.float32]
Strings = NDArray[np.object_]
Scores = NDArray[np.float64]

NULL = "␀"
"""The text for a missing value (U+2400), because ONNX has no null. It is a level like any other."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Inputs: `floats` [n, F] float32 with NaN for missing, `strings` [n, S] with `NULL` for missing."""

    floats: Matrix
    strings: Strings

    def __len__(self) -> int:
        return len(self.floats)

    @property
    def width(self) -> int:
        """The number of inputs."""
        return int(self.floats.shape[1] + self.strings.shape[1])

    def take(self, rows: NDArray[np.intp]) -> Rows:
        return Rows(self.floats[rows], self.strings[rows])


Weigh = Callable[[NDArray[Any], NDArray[np.int64]], NDArray[np.float64]]
"""Returns how much more rows count, by their labels and times. It is sent to other processes."""


class Beyond(Protocol):
    """Labelled rows that an engine has and fits on. What a fit makes of its drawn rows, workers make of these."""

    @property
    def rows(self) -> int: ...

    @property
    def latest(self) -> int:
        """The time of the latest row, in microseconds."""

    def through(self, made: Callable[[Rows], Rows]) -> Beyond:
        """Return the rows with their inputs changed, as those of the drawn rows were."""

    def weighed(self, weigh: Weigh, mean: float) -> Beyond:
        """Return the rows with their weights multiplied, and divided by a mean."""

    def boost(self, matrix: Callable[[Rows], Matrix], parameters: Mapping[str, Any], rounds: int) -> bytes:
        """Return a model of XGBoost as JSON, fitted on the matrix of all rows. Raises `EngineError`."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled rows of a task with `classes` classes: `y` as in `labels.Labels`, `times` in microseconds.

    Without a prediction time all `times` are 0. `groups` [n] are numbers whose rows stay together in splits.
    `validation` [n] are the rows that candidates are compared on, if the user says which. `weights` [n] say how much a
    row counts. `names` are those of the inputs, floats first. `monotone` says of each input whether scores rise (1) or
    fall (−1) with it. `quantiles` are the levels of a quantile model; `classes` is their number then. `queries` [n] are
    numbers of rows that are ranked together. `sampling` says which rows a fit learns from, with the `class_weights`
    that are declared by number. `ahead` says how far ahead the examples of a forecast are. `prepare` are the declared
    steps of the inputs, None where the algorithm decides. `gap` (µs) is how long labels take, and `known` [n] are the
    times at which the labels were known, if the rows tell. `units` [n] are what intervals resample, if not the groups.
    `engineer` and `select` say what a fit makes of the inputs and which it leaves out. `copied` [n] are numbers that
    copies of a row share, if a sampling repeats rows. `beyond` are the rows that these are drawn from, if an engine
    fits on them; `take` leaves it out.
    """

    rows: Rows
    y: NDArray[Any]
    times: NDArray[np.int64]
    task: Task
    classes: int = 0
    seed: int = 0
    groups: NDArray[np.int64] | None = None
    validation: NDArray[np.bool_] | None = None
    weights: NDArray[np.float64] | None = None
    names: tuple[str, ...] = ()
    monotone: tuple[int, ...] = ()
    quantiles: tuple[float, ...] = ()
    queries: NDArray[np.int64] | None = None
    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen
    class_weights: tuple[float, ...] = ()
    ahead: Ahead | None = None
    prepare: tuple[Step | None, ...] = ()
    engineer: tuple[Engineer, ...] = ()
    select: Selection | None = None
    copied: NDArray[np.int64] | None = None
    beyond: Beyond | None = None
    gap: int = 0
    known: NDArray[np.int64] | None = None
    units: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: NDArray[np.intp]) -> Examples:
        return replace(
            self,
            rows=self.rows.take(rows),
            y=self.y[rows],
            times=self.times[rows],
            groups=None if self.groups is None else self.groups[rows],
            validation=None if self.validation is None else self.validation[rows],
            weights=None if self.weights is None else self.weights[rows],
            queries=None if self.queries is None else self.queries[rows],
            ahead=None if self.ahead is None else self.ahead.take(rows),
            copied=None if self.copied is None else self.copied[rows],
            known=None if self.known is None else self.known[rows],
            units=None if self.units is None else self.units[rows],
            beyond=None,
        )

    def evened(self) -> Examples:
        """Return the rows with weights of mean 1, which fits take their other settings to be for."""
        mean = 1.0 if self.weights is None else float(self.weights.mean())
        return self if mean in (0.0, 1.0) or self.weights is None else replace(self, weights=self.weights / mean)

    def constraints(self, origins: Sequence[int]) -> list[int]:
        """Return the monotone constraint of each matrix column, given the input that it rises with: 1, −1 or 0. A
        negative one is no input."""
        return [self.monotone[origin] if self.monotone and origin >= 0 else 0 for origin in origins]

    def some(self, rows: int, seed: int) -> NDArray[np.intp]:
        """Return the numbers of at most so many rows, drawn at random, in order; of a ranking about as many, in whole
        queries."""
        random = np.random.default_rng(seed)
        if self.queries is None or rows >= len(self):
            return np.sort(random.permutation(len(self))[:rows])
        number = np.unique(self.queries, return_inverse=True)[1]
        rank = random.permutation(int(number.max()) + 1)
        count = np.bincount(number)[np.argsort(rank)]
        kept = max(1, int((np.cumsum(count) <= rows).sum()))
        return np.flatnonzero(rank[number] < kept)

    @property
    def truth(self) -> NDArray[Any]:
        """What metrics compare scores with: `y`; with the levels or the query beside it, of quantiles and rankings."""
        if self.queries is not None:
            return np.column_stack([self.y, self.queries])
        return packed(self.y, self.quantiles) if self.quantiles else self.y

    @property
    def targets(self) -> NDArray[np.float64]:
        """[n, 1] values, or [n, classes] indicators for more than two classes."""
        if self.task != "multiclass":
            return np.asarray(self.y, float)[:, None]
        return np.asarray(np.eye(self.classes)[self.y])
