"""Gradient-boosted trees: LightGBM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms import libraries
from mainstem.models.algorithms.base import usable
from mainstem.models.algorithms.boosted import Boosted, BoostedScore, by_query, targets_of, usual_leaf
from mainstem.models.algorithms.settings import ALL, Range, maker, setting
from mainstem.models.data.rows import Examples, Matrix, Scores
from mainstem.models.graphs.trees import LEAF, Tree
from mainstem.models.preprocessing import TREES, Fitted, fit
from mainstem.nodes.kinds import fraction, integer, number, optional
from mainstem.nodes.models import Task

_OBJECTIVE: dict[Task, str] = {
    "binary": "binary",
    "multiclass": "multiclass",
    "regression": "regression",
    "count": "poisson",
    "ranking": "lambdarank",
}

OF_ROWS = 2
"""How many columns for each row are looked at."""

USUAL_RATE = 0.1

LONG = 500_000
"""The most rows that are fitted with as many rounds as were found. Of more, trees are half as many and take steps
twice as large. It takes half the time. The loss grows by a thousandth."""

BINNED = 100_000
"""The most rows that make the bins, beside rows with the NaN that these lack. More rows move no bin by much."""

Start = Callable[[Examples], Scores]
"""The raw scores that boosting goes on from."""


@dataclass(frozen=True)
class LightGBM(Boosted):
    """Gradient-boosted trees of LightGBM, with the names of its parameters. `rounds` are the most that early stopping
    tries.

    Without `learning_rate`, it is 0.1, and 0.2 with half the rounds for a fit of more than 500,000 rows.
    """

    name = "lightgbm"
    tasks = ALL

    learning_rate: float | None = setting(None, optional(number(0)), Range(0.01, 0.3, log=True))
    num_leaves: int = setting(31, integer(2), Range(4, 255, log=True, whole=True))
    max_depth: int | None = setting(None, optional(integer(1)))
    min_data_in_leaf: int | None = setting(None, optional(integer(1)), Range(2, 200, log=True, whole=True))
    feature_fraction: float = setting(0.7, fraction, Range(0.3, 1.0))
    bagging_fraction: float = setting(0.8, fraction, Range(0.5, 1.0))
    lambda_l1: float = setting(0.0, number(-1e-9), Range(1e-3, 10, log=True))
    lambda_l2: float = setting(1.0, number(-1e-9), Range(1e-3, 100, log=True))

    def boost(
        self, examples: Examples, watched: Examples | None, rounds: int, level: float | None = None
    ) -> BoostedScore:
        if watched is not None or self.learning_rate is not None or len(examples) <= LONG:
            return self.boosted(examples, watched, rounds, level)
        found = replace(self, learning_rate=2 * USUAL_RATE).boosted(examples, None, ceil(rounds / 2), level)
        return replace(found, settings={"rounds": float(rounds)})

    def boosted(
        self,
        examples: Examples,
        watched: Examples | None,
        rounds: int,
        level: float | None = None,
        start: Start | None = None,
    ) -> BoostedScore:
        """Fit as `boost` does, from the raw scores of a `start` on. The result has only what the trees add to them."""
        library = libraries.lightgbm()
        examples, watched = by_query(examples), None if watched is None else by_query(watched)
        fitted, found = fit(examples, TREES)
        found = found if start is not None else related(found, examples)
        parameters = {**self._parameters(examples, fitted), **_objective(examples.task, level)}
        bins = _bins(library, found, parameters)
        train = _dataset(library, found, examples, bins, start)
        valid, calls = [], []
        if watched is not None:
            rows = watched.rows
            valid = [_dataset(library, fitted.transform(rows.floats, rows.strings), watched, train, start)]
            calls = [library.early_stopping(self.patience, verbose=False)]
        booster = library.train(parameters, train, rounds, valid_sets=valid, callbacks=calls)
        best = int(booster.best_iteration if watched is not None else booster.current_iteration())
        return BoostedScore(
            examples.task,
            fitted,
            partial(_raw, booster),
            partial(_trees, booster),
            targets_of(examples),
            booster.feature_importance("gain"),
            {"rounds": float(max(best, 1))},
        )

    def _parameters(self, examples: Examples, fitted: Fitted) -> dict[str, Any]:
        constraints = examples.constraints(fitted.rising)
        return {
            "learning_rate": self.learning_rate or USUAL_RATE,
            "num_leaves": self.num_leaves,
            "max_depth": self.max_depth or -1,
            "min_data_in_leaf": self.min_data_in_leaf or usual_leaf(len(examples)),
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "bagging_freq": 1,
            "lambda_l1": self.lambda_l1,
            "lambda_l2": self.lambda_l2,
            # All rows of what is binned make the bins. Otherwise a rare NaN may be missed and read as 0.
            "bin_construct_sample_cnt": max(len(examples), 1),
            # A feature that is rare in the rows of the bins may have enough of all rows for a leaf.
            **({"feature_pre_filter": False} if len(examples) > BINNED else {}),
            "num_threads": libraries.lightgbm_threads(len(examples), examples.rows.width),
            "deterministic": True,
            "force_row_wise": True,
            "seed": examples.seed,
            "verbosity": -1,
            **({"num_class": examples.classes} if examples.task == "multiclass" else {}),
            **({"monotone_constraints": constraints} if any(constraints) else {}),
        }


def _objective(task: Task, level: float | None) -> dict[str, Any]:
    if task == "ranking":
        return {"objective": _OBJECTIVE[task], "metric": "ndcg", "eval_at": [10]}
    return {"objective": _OBJECTIVE[task]} if level is None else {"objective": "quantile", "alpha": level}


def _dataset(
    library: Any, matrix: Matrix, examples: Examples, reference: Any = None, start: Start | None = None
) -> Any:
    sizes = None if examples.queries is None else np.unique(examples.queries, return_counts=True)[1]
    first = None if start is None else start(examples)
    return library.Dataset(
        usable(matrix), examples.y, weight=examples.weights, group=sizes, init_score=first, reference=reference
    )


def _bins(library: Any, matrix: Matrix, parameters: Mapping[str, Any]) -> Any:
    """Return a dataset of some rows, for bins that all rows share; None if all rows make them.

    It has a NaN in each column that has one: of a feature without, LightGBM reads NaN as 0.
    """
    if len(matrix) <= BINNED:
        return None
    rows = np.linspace(0, len(matrix) - 1, BINNED).astype(np.intp)
    gone = np.isnan(matrix)
    missed = np.flatnonzero(gone.any(0) & ~gone[rows].any(0))
    some = matrix[np.append(rows, gone[:, missed].argmax(0))]
    return library.Dataset(usable(some), params=dict(parameters)).construct()


def related(matrix: Matrix, examples: Examples) -> Matrix:
    """Return a matrix [n, p] in which at most `OF_ROWS` · n columns vary: those whose ranks correlate most with those
    of the targets. The others are 0, which LightGBM leaves out.

    Trees of few rows do not find what no column tells alone, and their time grows with the columns.
    """
    most = OF_ROWS * len(matrix)
    if matrix.shape[1] <= most:
        return matrix
    stats = libraries.scipy("stats")
    ranks = stats.rankdata(np.where(np.isnan(matrix), np.nanmedian(matrix, axis=0), matrix), axis=0)
    shared = np.abs(_unit(ranks).T @ _unit(stats.rankdata(examples.targets, axis=0))).max(1)
    found = np.zeros_like(matrix)
    kept = np.sort(np.argsort(-shared.round(12), kind="stable")[:most])
    found[:, kept] = matrix[:, kept]
    return found


def _unit(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    away = columns - columns.mean(0)
    return np.asarray(away / np.maximum(np.sqrt((away**2).sum(0)), 1e-12))


def _raw(booster: Any, matrix: Matrix) -> NDArray[np.float64]:
    return np.asarray(booster.predict(matrix, raw_score=True), float)


def _trees(booster: Any) -> list[Tree]:
    dump = booster.dump_model()
    targets = int(dump["num_tree_per_iteration"])
    return [_tree(each["tree_structure"], number % targets) for number, each in enumerate(dump["tree_info"])]


def _tree(structure: dict[str, Any], target: int) -> Tree:
    parts, yes, no = _numbered(structure)
    splits = ["split_index" in part for part in parts]
    return Tree(
        feature=np.array([part["split_feature"] if split else LEAF for part, split in zip(parts, splits, strict=True)]),
        threshold=np.array([_bound(float(part.get("threshold", 0))) for part in parts]),
        yes=np.array(yes),
        no=np.array(no),
        missing_yes=np.array([split and _missing_goes_left(part) for part, split in zip(parts, splits, strict=True)]),
        values=np.array([[float(part.get("leaf_value", 0))] for part in parts]),
        targets=(target,),
    )


def _numbered(structure: dict[str, Any]) -> tuple[list[dict[str, Any]], list[int], list[int]]:
    """Return the nodes, each before its children, and the places of their children."""
    parts: list[dict[str, Any]] = [structure]
    yes, no = [0], [0]
    place = 0
    while place < len(parts):
        part = parts[place]
        if "split_index" in part:
            yes[place], no[place] = len(parts), len(parts) + 1
            parts += [part["left_child"], part["right_child"]]
            yes += [0, 0]
            no += [0, 0]
        place += 1
    return parts, yes, no


def _bound(threshold: float) -> float:
    # A missing-value split has the threshold 1e300. LightGBM sends +inf to the same side.
    return np.inf if threshold >= 1e300 else threshold


def _missing_goes_left(part: dict[str, Any]) -> bool:
    # LightGBM reads NaN as 0 if a feature had no NaN in training.
    return bool(part["default_left"]) if part["missing_type"] == "NaN" else float(part["threshold"]) >= 0.0


lightgbm = maker(LightGBM)
