"""Gradient-boosted symmetric trees: CatBoost."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms import libraries
from mainstem.models.algorithms.base import usable
from mainstem.models.algorithms.boosted import Boosted, BoostedScore, targets_of, usual_leaf
from mainstem.models.algorithms.settings import Range, maker, setting
from mainstem.models.data.rows import Examples, Matrix
from mainstem.models.graphs.trees import LEAF, Tree, constant
from mainstem.models.preprocessing import TREES, Fitted, finite, fit
from mainstem.nodes.kinds import integer, number, optional
from mainstem.nodes.models import Task

ABSENT = 10.0
"""How far the raw score of a class that the rows lack is below 0."""

_LOSS: dict[Task, str] = {"binary": "Logloss", "multiclass": "MultiClass", "regression": "RMSE", "count": "Poisson"}


@dataclass(frozen=True)
class CatBoost(Boosted):
    """Gradient-boosted symmetric trees of CatBoost, with the names of its parameters. `rounds` are the most that early
    stopping tries.

    Texts are codes, as for other trees. CatBoost's own encoding of texts cannot be written as ONNX.
    """

    name = "catboost"
    extra = "catboost"

    learning_rate: float = setting(0.1, number(0), Range(0.02, 0.3, log=True))
    depth: int = setting(6, integer(1), Range(3, 9, whole=True))
    l2_leaf_reg: float = setting(3.0, number(-1e-9), Range(0.5, 30, log=True))
    random_strength: float = setting(1.0, number(-1e-9), Range(0.1, 10, log=True))
    min_data_in_leaf: int | None = setting(None, optional(integer(1)))

    def boost(
        self, examples: Examples, watched: Examples | None, rounds: int, level: float | None = None
    ) -> BoostedScore:
        library = libraries.catboost()
        fitted, found = fit(examples, TREES)
        seen = np.unique(examples.y) if examples.task == "multiclass" else np.zeros(1, np.int64)
        model = library.CatBoost({**self._parameters(examples, fitted), "iterations": rounds})
        part = examples if watched is None else _of(watched, seen)
        watching = (
            {}
            if watched is None
            else {
                "eval_set": _pool(library, _matrix(fitted, part), part, seen),
                "early_stopping_rounds": self.patience,
                "use_best_model": True,
            }
        )
        model.fit(_pool(library, found, examples, seen), **watching)
        return BoostedScore(
            examples.task,
            fitted,
            partial(_raw, model, seen, targets_of(examples)),
            partial(_trees, model, seen, targets_of(examples)),
            targets_of(examples),
            np.asarray(model.get_feature_importance(), float),
            {"rounds": float(max(model.tree_count_, 1))},
        )

    def _parameters(self, examples: Examples, fitted: Fitted) -> dict[str, Any]:
        constraints = examples.constraints(fitted.rising)
        return {
            "loss_function": _LOSS[examples.task],
            "learning_rate": self.learning_rate,
            "depth": self.depth,
            "l2_leaf_reg": self.l2_leaf_reg,
            "random_strength": self.random_strength,
            "min_data_in_leaf": self.min_data_in_leaf or usual_leaf(len(examples)),
            "random_seed": examples.seed,
            "thread_count": libraries.threads(len(examples)),
            "allow_writing_files": False,
            "logging_level": "Silent",
            **({"monotone_constraints": constraints} if any(constraints) else {}),
        }


def _of(examples: Examples, seen: NDArray[np.int64]) -> Examples:
    """Return the examples of the classes `seen`: CatBoost refuses to watch others."""
    if examples.task != "multiclass":
        return examples
    return examples.take(np.flatnonzero(np.isin(examples.y, seen)))


def _matrix(fitted: Fitted, examples: Examples) -> Matrix:
    return fitted.transform(examples.rows.floats, examples.rows.strings)


def _pool(library: Any, found: Matrix, examples: Examples, seen: NDArray[np.int64]) -> Any:
    matrix = finite(usable(found))
    # CatBoost scores a class without rows as -inf, and its file leaves the class out: it gets only classes with rows.
    y = np.searchsorted(seen, examples.y) if examples.task == "multiclass" else examples.y
    return library.Pool(matrix, y, weight=examples.weights)


def _raw(model: Any, seen: NDArray[np.int64], targets: int, matrix: Matrix) -> NDArray[np.float64]:
    own = np.asarray(model.predict(finite(matrix), prediction_type="RawFormulaVal", thread_count=1), float)
    raw = np.full((len(matrix), targets), -ABSENT)
    raw[:, seen] = own.reshape(len(matrix), len(seen))
    return raw


def _trees(model: Any, seen: NDArray[np.int64], targets: int) -> list[Tree]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "model.json")
        model.save_model(str(path), format="json")
        found = json.loads(path.read_text())
    scale, bias = found["scale_and_bias"]
    base = np.full(targets, -ABSENT)
    base[seen] = np.asarray(bias, float).reshape(-1)
    treated = {each["feature_index"]: each["nan_value_treatment"] for each in found["features_info"]["float_features"]}
    return [constant(base), *(_tree(each, seen, float(scale), treated) for each in found["oblivious_trees"])]


def _tree(tree: Mapping[str, Any], seen: NDArray[np.int64], scale: float, treated: Mapping[int, str]) -> Tree:
    """Return a symmetric tree node by node. Bit `i` of a leaf's number says whether the value is above the border of
    split `i`; the last split is at the root."""
    targets = len(seen)
    splits: Sequence[Mapping[str, Any]] = (tree["splits"] or [])[::-1]
    depth = len(splits)
    inner = 2**depth - 1
    level = np.concatenate([np.full(2**d, d) for d in range(depth)]) if depth else np.empty(0, int)
    children = 2 * np.arange(inner) + 1
    features = np.array([split["float_feature_index"] for split in splits], int)
    borders = np.array([np.float32(split["border"]) for split in splits], float)
    missing = np.array([treated[int(feature)] != "AsTrue" for feature in features], bool)
    values = np.asarray(tree["leaf_values"], float).reshape(2**depth, targets) * scale
    zeros = np.zeros(2**depth, np.int64)
    return Tree(
        feature=np.concatenate([features[level], zeros + LEAF]),
        threshold=np.concatenate([borders[level], zeros.astype(float)]),
        yes=np.concatenate([children, zeros]),
        no=np.concatenate([children + 1, zeros]),
        missing_yes=np.concatenate([missing[level], zeros.astype(bool)]),
        values=np.vstack([np.zeros((inner, targets)), values]),
        targets=tuple(int(place) for place in seen),
    )


catboost = maker(CatBoost)
