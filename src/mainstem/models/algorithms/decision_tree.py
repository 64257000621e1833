"""One decision tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mainstem.models.algorithms import libraries
from mainstem.models.algorithms.forests import Trees
from mainstem.models.algorithms.settings import maker
from mainstem.models.data.rows import Examples


@dataclass(frozen=True)
class DecisionTree(Trees):
    """A decision tree of scikit-learn. A leaf has at least a hundredth of the rows, unless `min_samples_leaf` says
    otherwise: smaller ones say probabilities that are too sure."""

    name = "decision_tree"

    def model(self, examples: Examples) -> Any:
        library = libraries.sklearn("tree")
        regression = examples.task == "regression"
        kind = library.DecisionTreeRegressor if regression else library.DecisionTreeClassifier
        return kind(**self._parameters(examples, max(5, len(examples) // 100), None))


decision_tree = maker(DecisionTree)
