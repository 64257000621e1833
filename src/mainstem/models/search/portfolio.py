"""The portfolio that a search starts with: settings of each algorithm that are known to be good on some tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from mainstem.models.algorithms import Candidate
from mainstem.models.algorithms.estimators import SklearnEstimator
from mainstem.models.algorithms.settings import Declared, Space

Values = Mapping[str, Any]

_FOREST: tuple[Values, ...] = ({"min_samples_leaf": 5, "max_features": 0.3}, {"min_samples_leaf": 20})

KNOWN: Mapping[str, tuple[Values, ...]] = {
    "linear": ({"penalty": 10.0}, {"penalty": 0.1}, {"penalty": 100.0}),
    "elastic_net": ({"l1_ratio": 0.5},),
    "knn": ({"n_neighbors": 40}, {"n_neighbors": 5}),
    "naive_bayes": ({"alpha": 5.0},),
    "random_forest": _FOREST,
    "extra_trees": _FOREST,
    "decision_tree": ({"max_depth": 5}, {"min_samples_leaf": 20}),
    "hist_boosting": (
        {"learning_rate": 0.04, "max_leaf_nodes": 12},
        {"learning_rate": 0.05, "max_leaf_nodes": 6, "l2_regularization": 10.0},
        {"learning_rate": 0.05, "max_leaf_nodes": 95},
    ),
    "lightgbm": (
        {"learning_rate": 0.04, "num_leaves": 12, "feature_fraction": 0.5},
        {"learning_rate": 0.05, "num_leaves": 6, "lambda_l2": 10.0},
        {"learning_rate": 0.05, "num_leaves": 95, "min_data_in_leaf": 20},
    ),
    "linear_boosting": (
        {"learning_rate": 0.05, "num_leaves": 6, "penalty": 0.1},
        {"learning_rate": 0.05, "num_leaves": 12, "penalty": 10.0},
    ),
    "xgboost": (
        {"learning_rate": 0.05, "max_depth": 4, "min_child_weight": 5.0},
        {"learning_rate": 0.05, "max_depth": 3, "reg_lambda": 10.0},
        {"learning_rate": 0.05, "max_depth": 8, "colsample_bytree": 0.5},
    ),
    "catboost": ({"learning_rate": 0.05, "depth": 4}, {"learning_rate": 0.06, "depth": 8}),
    "mlp": ({"alpha": 0.1}, {"hidden_layer_sizes": (32,), "alpha": 0.3}),
}


def space_of(candidate: Candidate) -> Space:
    """Return where a search looks. Settings that the user declared as a value keep it."""
    found = candidate.algorithm
    return found.searched if isinstance(found, (Declared, SklearnEstimator)) else {}


def portfolio(candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, Values]]:
    """Yield settings to begin with: the first of each candidate, then the second of each, and so on."""
    starts = [[(each, values) for values in _starts(each)] for each in candidates]
    for several in zip_longest(*starts):
        yield from (each for each in several if each is not None)


def _starts(candidate: Candidate) -> Iterator[Values]:
    algorithm, space = candidate.algorithm, space_of(candidate)
    for values in KNOWN.get(getattr(algorithm, "name", ""), ()) if isinstance(algorithm, Declared) else ():
        if left := {name: value for name, value in values.items() if name in space and space[name].has(value)}:
            yield left
