"""The inputs and results of algorithms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.models.builder import Builder
from mainstem.models.preprocessing import FEWEST_ROWS, Matrix, Strings
from mainstem.nodes.models import Task

Scores = NDArray[np.float64]
Settings = Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Rows:
    """Inputs: `floats` [n, F] float32 with NaN for missing, `strings` [n, S] with `NULL` for missing."""

    floats: Matrix
    strings: Strings

    def __len__(self) -> int:
        return len(self.floats)

    def take(self, rows: NDArray[np.intp]) -> Rows:
        return Rows(self.floats[rows], self.strings[rows])


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled rows of a task with `classes` classes: `y` as in `task.Labels`, `times` in microseconds.

    `groups` [n] numbers the rows by their key, if the examples have a key.
    """

    rows: Rows
    y: NDArray[Any]
    times: NDArray[np.int64]
    task: Task
    classes: int = 0
    seed: int = 0
    groups: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: NDArray[np.intp]) -> Examples:
        groups = None if self.groups is None else self.groups[rows]
        return replace(self, rows=self.rows.take(rows), y=self.y[rows], times=self.times[rows], groups=groups)

    @property
    def targets(self) -> NDArray[np.float64]:
        """[n, 1] values, or [n, classes] indicators for more than two classes."""
        if self.task != "multiclass":
            return np.asarray(self.y, float)[:, None]
        return np.asarray(np.eye(self.classes)[self.y])


class Estimator(Protocol):
    """A fitted pipeline, preprocessing included. `settings` were found by the fit (such as the number of rounds)."""

    @property
    def settings(self) -> Settings: ...

    def scores(self, rows: Rows) -> Scores:
        """Return P(true) or values [n]; probabilities [n, K] for several classes."""

    def onnx(self, builder: Builder) -> str:
        """Add the same to a graph. Return the name of its scores, float64."""

    def importances(self, inputs: int) -> NDArray[np.float64]:
        """Return the importance of each input: shares that sum to 1, or zeros."""


class Algorithm(Protocol):
    """Fits estimators. Contract: `scores` and the graph agree within the gate, for any rows."""

    def fit(self, examples: Examples, settings: Settings | None = None) -> Estimator:
        """Fit on all of `examples`. Without settings, find them on a part of `examples`."""

    def settle(self, found: Sequence[Settings]) -> Settings:
        """Return the settings of the final fit, from those of the folds."""


# ── from raw scores to scores ─────────────────────────────────────────────────────────────────────────


def linked(raw: Scores, task: Task) -> Scores:
    """Convert raw [n, T] to P(true) [n], probabilities [n, K] or values [n]."""
    if task == "multiclass":
        powers = np.exp(raw - raw.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True))
    if task == "binary":
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-raw[:, 0])))
    return np.asarray(raw[:, 0])


def linked_onnx(builder: Builder, raw: str, task: Task) -> str:
    if task == "multiclass":
        return builder.add("Softmax", raw, axis=-1)
    flat = builder.add("Reshape", raw, builder.constant(np.array([-1], np.int64)))
    return builder.add("Sigmoid", flat) if task == "binary" else flat


def shares(weights: NDArray[Any], origins: Sequence[int], inputs: int) -> NDArray[np.float64]:
    """Return the weights of matrix columns, summed per input and divided by their total; zeros if the total is 0."""
    total = np.bincount(np.asarray(origins, int), np.asarray(weights, float), minlength=inputs).astype(float)
    return total / total.sum() if total.sum() > 0 else total


def usable(matrix: Matrix) -> Matrix:
    """Return the matrix. Raises `ModelError` if it has no column."""
    if not matrix.shape[1]:
        raise ModelError(
            "the model has no usable input",
            expected=f"a number, or a text with a level in {FEWEST_ROWS} rows",
            hint="a text that differs in every row is not useful to a model: add its parts as columns",
        )
    return matrix
