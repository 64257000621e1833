"""What an algorithm and a fitted estimator are, and the steps that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.models.data.rows import Examples, Matrix, Rows, Scores
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing import fewest
from mainstem.nodes.models import Task

Settings = Mapping[str, float]


class Estimator(Protocol):
    """A fitted pipeline, preprocessing included. `settings` were found by the fit (such as the number of rounds).

    It may have `work`, about how many multiplications a score takes: a search keeps costly ones out of ensembles.
    """

    @property
    def settings(self) -> Settings: ...

    def scores(self, rows: Rows) -> Scores:
        """Return P(true), expected counts or values [n]; probabilities [n, K], or ascending quantiles [n, Q]."""

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


TREE_STEP = 40.0
"""How many multiplications take as long as one step down a tree (measured: 0.5 ns and 20 ns)."""


def work(estimator: Any) -> float:
    """Return how many multiplications a score takes about, of those that differ between algorithms; 0 if it is unknown.

    It is counted from what was fitted and not measured, so that it is the same on each machine.
    """
    found = getattr(estimator, "work", 0.0)
    return float(found) if isinstance(found, (int, float)) else 0.0


LARGEST = 50.0
"""The largest logarithm of a predicted count: beyond it, a linear model of extreme inputs would overflow."""

# ── from raw scores to scores ─────────────────────────────────────────────────────────────────────────


def linked(raw: Scores, task: Task) -> Scores:
    """Convert raw [n, T] to P(true) [n], probabilities [n, K], expected counts [n], quantiles [n, Q] or values [n]."""
    if task == "quantile":
        return np.sort(raw, axis=1)
    if task == "multiclass":
        powers = np.exp(raw - raw.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True))
    if task == "binary":
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-raw[:, 0])))
    if task == "count":
        return np.asarray(np.exp(np.clip(raw[:, 0], -LARGEST, LARGEST)))
    return np.asarray(raw[:, 0])


def linked_onnx(builder: Builder, raw: str, task: Task, targets: int = 1) -> str:
    """Add the same to a graph, of a raw score with so many targets."""
    if task == "quantile":
        return builder.ascending(raw, targets)
    if task == "multiclass":
        return builder.add("Softmax", raw, axis=-1)
    flat = builder.add("Reshape", raw, builder.constant(np.array([-1], np.int64)))
    if task == "count":
        ends = (builder.constant(np.array(end, np.float64)) for end in (-LARGEST, LARGEST))
        return builder.add("Exp", builder.add("Clip", flat, *ends))
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
            got=f"{len(matrix):,} rows to learn from, in which every text is rare",
            expected=f"a number, or a text that {fewest(len(matrix))} of these rows share (2 for the mean target)",
            hint="more examples or fewer folds; of a text that differs in every row, add the parts as columns",
        )
    return matrix
