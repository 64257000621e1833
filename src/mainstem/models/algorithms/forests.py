"""What a decision tree and forests of scikit-learn share: how they are fitted, and the mean of their trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms import libraries
from mainstem.models.algorithms.base import TREE_STEP, Settings, shares, usable
from mainstem.models.algorithms.naive import rates
from mainstem.models.algorithms.settings import Choice, Declared, Range, setting
from mainstem.models.data.rows import Examples, Rows, Scores
from mainstem.models.graphs.builder import Builder
from mainstem.models.graphs.trees import LEAF, Tree, ensemble
from mainstem.models.preprocessing import TREES, Fitted, finite, fit
from mainstem.nodes.base import refused
from mainstem.nodes.kinds import integer, is_number, optional
from mainstem.nodes.models import Task


@dataclass(frozen=True, eq=False)
class TreesScore:
    """The mean of fitted trees over the matrix. `places` are the classes of their values, of `classes`.

    Of classes, `prior` counts as one more row of each leaf, so that no probability is 0. It is None with monotone
    constraints, which that would break.
    """

    task: Task
    fitted: Fitted
    trees: Sequence[Any]
    places: NDArray[np.int64]
    classes: int
    gains: NDArray[np.float64]
    prior: NDArray[np.float64] | None
    settings: Settings = field(default_factory=dict)

    def scores(self, rows: Rows) -> Scores:
        matrix = np.ascontiguousarray(finite(self.fitted.transform(rows.floats, rows.strings)), np.float32)
        total = np.zeros((len(matrix), self.targets))
        for each in self.trees:
            total[:, self._targets] += self._values(each.tree_)[each.tree_.apply(matrix)]
        mean = total / len(self.trees)
        return mean if self.task == "multiclass" else mean[:, 0]

    def onnx(self, builder: Builder) -> str:
        matrix = self.fitted.onnx(builder, builder.floats, builder.strings)
        mean = ensemble(builder, matrix, [self._tree(each.tree_) for each in self.trees], self.targets)
        if self.task == "multiclass":
            return mean
        return builder.add("Reshape", mean, builder.constant(np.array([-1], np.int64)))

    def importances(self, inputs: int) -> NDArray[np.float64]:
        return shares(self.gains, self.fitted.origins, inputs)

    @property
    def work(self) -> float:
        """About how many multiplications a score takes."""
        return TREE_STEP * sum(int(each.tree_.max_depth) for each in self.trees)

    @property
    def targets(self) -> int:
        return self.classes if self.task == "multiclass" else 1

    @property
    def _targets(self) -> NDArray[np.int64]:
        return self.places if self.task == "multiclass" else np.zeros(1, np.int64)

    def _values(self, tree: Any) -> NDArray[np.float64]:
        """Return what each node says: P(true), the probabilities of the classes, or the value."""
        values = np.asarray(tree.value, float)[:, 0, :]
        if self.task == "regression":
            return values
        if self.prior is None:
            return np.asarray(values[:, 1:2])
        rows = np.asarray(tree.n_node_samples, float)[:, None]
        smooth = np.asarray((values * rows + self.prior) / (rows + 1))
        return smooth[:, 1:2] if self.task == "binary" else smooth

    def _tree(self, tree: Any) -> Tree:
        leaf = tree.children_left == -1
        return Tree(
            feature=np.where(leaf, LEAF, tree.feature),
            threshold=np.where(leaf, 0.0, tree.threshold),
            yes=np.where(leaf, 0, tree.children_left),
            no=np.where(leaf, 0, tree.children_right),
            missing_yes=np.asarray(tree.missing_go_to_left, bool),
            values=self._values(tree) / len(self.trees),
            targets=tuple(int(place) for place in self._targets),
        )


def _prior(examples: Examples, places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the rates of the classes that the rows have."""
    found = rates(examples)
    return np.append(1 - found, found) if examples.task == "binary" else found[places]


def _features(name: str, value: Any) -> None:
    """Require a share of the columns, or `"sqrt"` or `"log2"`."""
    if not (isinstance(value, str) and value in ("sqrt", "log2")) and not (is_number(value) and 0 < value <= 1):
        raise refused(f"`{name}` has an invalid value", value, 'a number above 0, at most 1, "sqrt" or "log2"')


@dataclass(frozen=True)
class Trees(Declared):
    """Trees of scikit-learn, with the names of its parameters. Texts are codes. Trees learn where missing values go.
    By default, `min_samples_leaf` grows with the rows, so that leaves stay few."""

    monotone = ("binary", "regression")

    max_depth: int | None = setting(None, optional(integer(1)), Range(3, 24, whole=True))
    min_samples_leaf: int | None = setting(None, optional(integer(1)), Range(1, 50, log=True, whole=True))
    max_features: float | str | None = setting(None, optional(_features), Choice((0.3, 0.6, 1.0)))

    def fit(self, examples: Examples, settings: Settings | None = None) -> TreesScore:
        fitted, found = fit(examples, TREES)
        matrix = finite(usable(found))
        constraints = examples.constraints(fitted.rising)
        model = self.model(examples)
        if any(constraints):
            model.set_params(monotonic_cst=constraints)
        with libraries.limited(len(examples)):
            model.fit(matrix, examples.y, sample_weight=examples.weights)
        places = np.asarray(getattr(model, "classes_", [0]), np.int64)
        trees = list(getattr(model, "estimators_", [model]))
        gains = model.feature_importances_
        prior = None if any(constraints) else _prior(examples, places)
        return TreesScore(examples.task, fitted, trees, places, examples.classes, gains, prior)

    def settle(self, found: Sequence[Settings]) -> Settings:
        return {}

    def model(self, examples: Examples) -> Any:
        """Return the unfitted model of scikit-learn."""
        raise NotImplementedError

    def _parameters(self, examples: Examples, leaf: int, features: Any) -> dict[str, Any]:
        return {
            "max_depth": self.max_depth,
            "min_samples_leaf": self.min_samples_leaf or leaf,
            "max_features": features if self.max_features is None else self.max_features,
            "random_state": examples.seed,
        }
