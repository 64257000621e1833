"""Extremely randomised trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mainstem.models.algorithms import libraries
from mainstem.models.algorithms.forests import Trees
from mainstem.models.algorithms.settings import maker, setting
from mainstem.models.data.rows import Examples
from mainstem.nodes.kinds import integer


@dataclass(frozen=True)
class ExtraTrees(Trees):
    """A forest of scikit-learn whose trees split at random thresholds. A leaf has at least one of 2,000 rows, so that
    the artifact stays small."""

    name = "extra_trees"

    n_estimators: int = setting(100, integer(1))

    def model(self, examples: Examples) -> Any:
        library = libraries.sklearn("ensemble")
        regression = examples.task == "regression"
        kind = library.ExtraTreesRegressor if regression else library.ExtraTreesClassifier
        parameters = self._parameters(examples, max(1, len(examples) // 2_000), 0.4 if regression else "sqrt")
        return kind(n_estimators=self.n_estimators, n_jobs=libraries.threads(len(examples)), **parameters)


extra_trees = maker(ExtraTrees)
