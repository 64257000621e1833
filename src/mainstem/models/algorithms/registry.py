"""Algorithms by name: a dict and `register`. Built-in ones are registered the same way.

A package adds its own by an entry point in the group `mainstem.algorithms`: `forest = "mainstem_forest:Forest"`.
"""

from __future__ import annotations

from typing import Any

from mainstem import plugins
from mainstem.errors import DefinitionError, UnknownName
from mainstem.models.algorithms.base import Algorithm
from mainstem.models.algorithms.catboost import CatBoost
from mainstem.models.algorithms.decision_tree import DecisionTree
from mainstem.models.algorithms.elastic_net import ElasticNet
from mainstem.models.algorithms.extra_trees import ExtraTrees
from mainstem.models.algorithms.hist_boosting import HistBoosting
from mainstem.models.algorithms.knn import NearestNeighbors
from mainstem.models.algorithms.lightgbm import LightGBM
from mainstem.models.algorithms.linear import Linear
from mainstem.models.algorithms.linear_boosting import LinearBoosting
from mainstem.models.algorithms.mlp import Network
from mainstem.models.algorithms.naive import Naive
from mainstem.models.algorithms.naive_bayes import NaiveBayes
from mainstem.models.algorithms.random_forest import RandomForest
from mainstem.models.algorithms.settings import Declared
from mainstem.models.algorithms.xgboost import XGBoost

PARTS = ("fit", "settle")
GROUP = "mainstem.algorithms"
ALGORITHMS: dict[str, Algorithm] = {}
PLACED: dict[str, Algorithm] = {"xgboost@spark": XGBoost(on="spark")}
"""Algorithms that are fitted elsewhere than in this process, by name."""

BUILT_IN: tuple[type[Declared], ...] = (
    Naive,
    Linear,
    ElasticNet,
    NearestNeighbors,
    NaiveBayes,
    DecisionTree,
    RandomForest,
    ExtraTrees,
    HistBoosting,
    LightGBM,
    LinearBoosting,
    XGBoost,
    CatBoost,
    Network,
)


def register(name: str, algorithm: Algorithm) -> None:
    """Register an algorithm for `ms.model(candidates=[…])`. Raises `DefinitionError` for an object that is not one."""
    check_parts(name, algorithm)
    ALGORITHMS[name] = algorithm


def check_parts(name: str, algorithm: Any) -> None:
    """Refuse an object that lacks a method of an algorithm. Raises `DefinitionError`."""
    missing = [part for part in PARTS if not callable(getattr(algorithm, part, None))]
    if missing or isinstance(algorithm, type):
        raise DefinitionError(
            f"{name!r} is not an algorithm",
            got=f"the class {algorithm.__name__}" if isinstance(algorithm, type) else f"no method {missing[0]!r}",
            expected=f"an object with {' and '.join(PARTS)}: mainstem.models.algorithms.base.Algorithm",
        )


def check_name(name: str) -> None:
    """Refuse a name that no algorithm has, without importing one. Raises `UnknownName`."""
    if name in PLACED:
        return
    if name not in ALGORITHMS and name not in (offered := plugins.offered(GROUP, ALGORITHMS)):
        raise UnknownName.among("algorithm", name, offered)


def algorithm(name: str) -> Algorithm:
    """Return the algorithm of a name. Raises `UnknownName`, `PluginError`."""
    if name in PLACED:
        return PLACED[name]
    if name not in ALGORITHMS:
        offered = plugins.load(GROUP, name, plugins.having(*PARTS))
        if offered is None:
            raise UnknownName.among("algorithm", name, plugins.offered(GROUP, ALGORITHMS))
        register(name, offered)
    return ALGORITHMS[name]


for _kind in BUILT_IN:
    register(_kind.name, _kind())  # type: ignore[arg-type]
