"""What the boosted ensembles share: how many rounds they have, and their sum of trees as an estimator."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms.base import TREE_STEP, Settings, linked, linked_onnx, shares
from mainstem.models.algorithms.quantiles import QuantilesScore, each_alone, means
from mainstem.models.algorithms.settings import USUAL, Declared, setting
from mainstem.models.algorithms.stopping import watching
from mainstem.models.data.rows import Examples, Matrix, Rows, Scores
from mainstem.models.graphs.builder import Builder
from mainstem.models.graphs.trees import Tree, ensemble
from mainstem.models.preprocessing import Fitted
from mainstem.nodes.kinds import integer, number
from mainstem.nodes.models import Task

DEPTH = 8
"""The steps down to a leaf, as the cost of a score counts them."""


@dataclass(frozen=True, eq=False)
class BoostedScore:
    """A boosted ensemble over the matrix: `raw` is the library's own sum [n, T], `trees` gives what is written."""

    task: Task
    fitted: Fitted
    raw: Callable[[Matrix], NDArray[np.float64]]
    trees: Callable[[], Sequence[Tree]]
    targets: int
    gains: NDArray[np.float64]
    settings: Settings
    below: bool = False

    def scores(self, rows: Rows) -> Scores:
        matrix = self.fitted.transform(rows.floats, rows.strings)
        return linked(self.raw(matrix).reshape(len(matrix), self.targets), self.task)

    def onnx(self, builder: Builder) -> str:
        matrix = self.fitted.onnx(builder, builder.floats, builder.strings)
        raw = ensemble(builder, matrix, self.trees(), self.targets, below=self.below)
        return linked_onnx(builder, raw, self.task)

    def importances(self, inputs: int) -> NDArray[np.float64]:
        return shares(self.gains, self.fitted.origins, inputs)

    @property
    def work(self) -> float:
        """About how many multiplications a score takes."""
        return TREE_STEP * DEPTH * self.targets * self.settings.get("rounds", 0.0)

    @property
    def unlinked(self) -> BoostedScore:
        """The same with the raw score of a single target as its score."""
        return replace(self, task="regression")


@dataclass(frozen=True)
class Boosted(Declared):
    """Boosted trees.

    Without settings, early stopping on the latest `held_out` share of the rows finds the number of rounds, with
    encoders fitted on the earlier rows. If that share has too few rows to tell, or too few of a class, there are
    `few_rounds`. With settings, all rows are fitted with that number of rounds.
    """

    tasks = (*USUAL, "count")
    monotone: ClassVar[tuple[Task, ...]] = ("binary", "regression", "count")

    rounds: int = setting(600, integer(1))
    few_rounds: int = setting(50, integer(1))
    patience: int = setting(20, integer(1))
    held_out: float = setting(0.15, number(0, 1))

    def fit(self, examples: Examples, settings: Settings | None = None) -> BoostedScore | QuantilesScore:
        if examples.task == "quantile":
            return each_alone(examples, settings, self._fit)
        return self._fit(examples, None, settings)

    def settle(self, found: Sequence[Settings]) -> Settings:
        return means(found)

    def _fit(self, examples: Examples, level: float | None, settings: Settings | None) -> BoostedScore:
        if settings:
            return self.boost(examples, None, int(settings["rounds"]), level)
        parts = watching(examples, self.held_out)
        if parts is None:
            return self.boost(examples, None, min(self.rounds, self.few_rounds), level)
        return self.boost(*parts, self.rounds, level)

    @abstractmethod
    def boost(
        self, examples: Examples, watched: Examples | None, rounds: int, level: float | None = None
    ) -> BoostedScore:
        """Fit `rounds` on `examples`, or as many of them as `watched` finds best; values, or their quantile `level`."""


def usual_leaf(rows: int) -> int:
    """Return how many rows a leaf of a boosted tree of so many rows has, unless it is declared."""
    return max(5, min(100, rows // 200))


def targets_of(examples: Examples) -> int:
    return examples.classes if examples.task == "multiclass" else 1


def by_query(examples: Examples) -> Examples:
    """Return the rows of each query one after the other, as libraries want them."""
    return examples if examples.queries is None else examples.take(np.argsort(examples.queries, kind="stable"))
