"""Gradient-boosted trees: XGBoost."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms import libraries
from mainstem.models.algorithms.base import Settings, linked, usable
from mainstem.models.algorithms.boosted import Boosted, BoostedScore, targets_of, usual_leaf
from mainstem.models.algorithms.naive import prior, rates
from mainstem.models.algorithms.quantiles import QuantilesScore
from mainstem.models.algorithms.settings import Range, maker, setting
from mainstem.models.data.rows import Beyond, Examples, Matrix, Rows
from mainstem.models.graphs.trees import LEAF, Tree, constant
from mainstem.models.preprocessing import TREES, Fitted, finite, fit
from mainstem.nodes.kinds import fraction, integer, number, optional, word
from mainstem.nodes.models import Task

_OBJECTIVE: dict[Task, str] = {
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
    "regression": "reg:squarederror",
    "count": "count:poisson",
}


@dataclass(frozen=True)
class XGBoost(Boosted):
    """Gradient-boosted trees of XGBoost, with the names of its parameters. `rounds` are the most that early stopping
    tries.

    With `on="spark"`, the trees of a version are fitted by Spark's workers on all rows of its dataset. Encodings, the
    first score and the number of rounds are found on the drawn rows. Candidates are compared on these, in this process.
    """

    name = "xgboost"
    extra = "xgboost"

    learning_rate: float = setting(0.1, number(0), Range(0.01, 0.3, log=True))
    max_depth: int = setting(6, integer(1), Range(2, 10, whole=True))
    min_child_weight: float | None = setting(None, optional(number(-1e-9)), Range(0.5, 100, log=True))
    subsample: float = setting(0.8, fraction, Range(0.5, 1.0))
    colsample_bytree: float = setting(0.7, fraction, Range(0.3, 1.0))
    gamma: float = setting(0.0, number(-1e-9))
    reg_alpha: float = setting(0.0, number(-1e-9), Range(1e-3, 10, log=True))
    reg_lambda: float = setting(1.0, number(-1e-9), Range(1e-3, 100, log=True))
    on: str | None = setting(None, optional(word("spark")))

    @property
    def label(self) -> str:
        return super().label if self.on is None else self._labelled(f"{self.name}@{self.on}", without=("on",))

    def fit(self, examples: Examples, settings: Settings | None = None) -> BoostedScore | QuantilesScore:
        if self.on is None or examples.beyond is None:
            return super().fit(examples, settings)
        found = settings or super().fit(replace(examples, beyond=None)).settings
        return self._fit_beyond(examples, examples.beyond, int(found["rounds"]))

    def _fit_beyond(self, examples: Examples, beyond: Beyond, rounds: int) -> BoostedScore:
        """Fit the trees on the rows beyond the examples, prepared as the examples are."""
        library = libraries.xgboost()
        fitted, found = fit(examples, TREES)
        usable(found)
        base = prior(examples).astype(np.float32).astype(float)  # XGBoost keeps float32
        parameters = self._parameters(examples, fitted, beyond.rows)
        del parameters["nthread"]  # Spark says how many cores a task has
        raw = beyond.boost(
            partial(_finite, fitted), {**parameters, "base_score": _started(base, examples.task)}, rounds
        )
        booster = library.Booster(model_file=bytearray(raw))
        return self._score(library, booster, rounds, examples, fitted, base)

    def boost(
        self, examples: Examples, watched: Examples | None, rounds: int, level: float | None = None
    ) -> BoostedScore:
        library = libraries.xgboost()
        fitted, found = fit(examples, TREES)
        base = prior(examples)
        train = _dataset(library, found, examples, base)
        watching = (
            {}
            if watched is None
            else {
                "evals": [(_dataset(library, _of(fitted, watched), watched, base), "watched")],
                "early_stopping_rounds": self.patience,
            }
        )
        parameters = self._parameters(examples, fitted, len(examples))
        booster = library.train(parameters, train, rounds, verbose_eval=False, **watching)
        best = booster.best_iteration + 1 if watched is not None else rounds
        return self._score(library, booster, best, examples, fitted, base)

    def _score(
        self, library: Any, booster: Any, rounds: int, examples: Examples, fitted: Fitted, base: NDArray[np.float64]
    ) -> BoostedScore:
        trees = _trees(booster[:rounds])
        return BoostedScore(
            examples.task,
            fitted,
            partial(_raw, library, booster[:rounds], trees, base),
            lambda: [constant(base), *trees],
            targets_of(examples),
            _gains(booster, len(fitted.origins)),
            {"rounds": float(rounds)},
            below=True,
        )

    def _parameters(self, examples: Examples, fitted: Fitted, rows: int) -> dict[str, Any]:
        constraints = examples.constraints(fitted.rising)
        return {
            "objective": _OBJECTIVE[examples.task],
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth,
            "min_child_weight": _or(self.min_child_weight, usual_leaf(rows) * _derivative(examples)),
            "subsample": self.subsample,
            "colsample_bytree": self.colsample_bytree,
            "gamma": self.gamma,
            "reg_alpha": self.reg_alpha,
            "reg_lambda": self.reg_lambda,
            "tree_method": "hist",
            "nthread": libraries.threads(len(examples)),
            "seed": examples.seed,
            "verbosity": 0,
            **({"num_class": examples.classes} if examples.task == "multiclass" else {}),
            **({"monotone_constraints": tuple(constraints)} if any(constraints) else {}),
        }


def _derivative(examples: Examples) -> float:
    """Return the second derivative of the loss of a usual row: 1 for values, the mean of a count, 1/4 of a class."""
    if examples.task == "count":
        return float(rates(examples)[0])
    return 1.0 if examples.task == "regression" else 0.25


def _or(value: float | None, usual: float) -> float:
    return usual if value is None else value


def _started(base: NDArray[np.float64], task: Task) -> float | list[float]:
    """Return `base_score` for raw scores: XGBoost wants a probability, a count or a value, and raw ones of classes."""
    if task == "multiclass":
        return [float(each) for each in base]
    return float(linked(base[None], task)[0])


def _finite(fitted: Fitted, rows: Rows) -> Matrix:
    return finite(fitted.transform(rows.floats, rows.strings))


def _of(fitted: Fitted, examples: Examples) -> Matrix:
    return fitted.transform(examples.rows.floats, examples.rows.strings)


def _dataset(library: Any, found: Matrix, examples: Examples, base: NDArray[np.float64]) -> Any:
    matrix = finite(usable(found))
    margin = np.repeat(base[None], len(matrix), axis=0)
    return library.DMatrix(
        matrix,
        examples.y,
        weight=examples.weights,
        base_margin=margin if len(base) > 1 else margin[:, 0],
        nthread=libraries.threads(len(examples)),
    )


def _raw(
    library: Any, booster: Any, trees: list[Tree], base: NDArray[np.float64], matrix: Matrix
) -> NDArray[np.float64]:
    """Return the sums of the leaves that XGBoost finds. It sums them in float32 itself, which loses digits."""
    found = np.asarray(booster.predict(library.DMatrix(finite(matrix), nthread=1), pred_leaf=True), np.int64)
    raw = np.repeat(base[None], len(matrix), axis=0)
    for tree, leaf in zip(trees, found.reshape(len(matrix), len(trees)).T, strict=True):
        raw[:, tree.targets[0]] += tree.values[leaf, 0]
    return raw


def _trees(booster: Any) -> list[Tree]:
    model = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]
    return [_tree(tree, int(target)) for tree, target in zip(model["trees"], model["tree_info"], strict=True)]


def _tree(tree: dict[str, Any], target: int) -> Tree:
    left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
    leaf = left == -1
    # A leaf's value is where a split has its threshold. All are float32.
    conditions = np.array(tree["split_conditions"], np.float32).astype(float)
    return Tree(
        feature=np.where(leaf, LEAF, np.array(tree["split_indices"])),
        threshold=np.where(leaf, 0.0, conditions),
        yes=np.where(leaf, 0, left),
        no=np.where(leaf, 0, right),
        missing_yes=np.array(tree["default_left"], bool),
        values=np.where(leaf, conditions, 0.0)[:, None],
        targets=(target,),
    )


def _gains(booster: Any, columns: int) -> NDArray[np.float64]:
    found = booster.get_score(importance_type="total_gain")
    return np.array([float(found.get(f"f{column}", 0.0)) for column in range(columns)])


xgboost = maker(XGBoost)
