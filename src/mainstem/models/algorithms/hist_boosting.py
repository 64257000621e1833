"""Gradient-boosted trees: scikit-learn's histogram boosting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms import libraries
from mainstem.models.algorithms.base import usable
from mainstem.models.algorithms.boosted import Boosted, BoostedScore, targets_of, usual_leaf
from mainstem.models.algorithms.settings import USUAL, Range, maker, setting
from mainstem.models.data.rows import Examples, Matrix
from mainstem.models.graphs.trees import LEAF, Tree, constant
from mainstem.models.preprocessing import TREES, Fitted, fit
from mainstem.nodes.kinds import fraction, integer, number, optional
from mainstem.nodes.models import CLASSES, Task

ABSENT = 10.0
"""How far the raw score of a class that the rows lack is below the lowest of the others."""


_LOSS: dict[Task, str] = {"regression": "squared_error", "count": "poisson"}


@dataclass(frozen=True)
class HistBoosting(Boosted):
    """Histogram-based gradient boosting of scikit-learn, with the names of its parameters. `rounds` are the most that
    early stopping tries."""

    name = "hist_boosting"
    tasks = (*USUAL, "count", "quantile")

    learning_rate: float = setting(0.1, number(0), Range(0.01, 0.3, log=True))
    max_leaf_nodes: int = setting(31, integer(2), Range(4, 255, log=True, whole=True))
    min_samples_leaf: int | None = setting(None, optional(integer(1)), Range(2, 200, log=True, whole=True))
    max_features: float = setting(0.7, fraction, Range(0.3, 1.0))
    l2_regularization: float = setting(1.0, number(-1e-9), Range(1e-3, 100, log=True))

    def boost(
        self, examples: Examples, watched: Examples | None, rounds: int, level: float | None = None
    ) -> BoostedScore:
        fitted, found = fit(examples, TREES)
        matrix = usable(found)
        model = self._model(examples, fitted, rounds, watched is not None)
        if level is not None:
            model.set_params(loss="quantile", quantile=level)
        with libraries.limited(len(examples)):
            model.fit(matrix, examples.y, **_watching(examples, watched, fitted))
        if watched is not None:
            best = max(1, int(np.argmax(model.validation_score_)))
            model._predictors = model._predictors[:best]
        ensemble = _Ensemble(model, _places(model, examples), targets_of(examples))
        return BoostedScore(
            examples.task,
            fitted,
            ensemble.raw,
            ensemble.trees,
            targets_of(examples),
            ensemble.gains(len(fitted.origins)),
            {"rounds": float(len(model._predictors))},
        )

    def _model(self, examples: Examples, fitted: Fitted, rounds: int, stopping: bool) -> Any:
        library = libraries.sklearn("ensemble")
        loss = _LOSS.get(examples.task)
        kind = library.HistGradientBoostingRegressor if loss else library.HistGradientBoostingClassifier
        constraints = examples.constraints(fitted.rising)
        return kind(
            **({"loss": loss} if loss else {}),
            learning_rate=self.learning_rate,
            max_iter=rounds,
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=self.min_samples_leaf or usual_leaf(len(examples)),
            max_features=self.max_features,
            l2_regularization=self.l2_regularization,
            monotonic_cst=constraints if any(constraints) else None,
            categorical_features=None,
            early_stopping=stopping,
            n_iter_no_change=self.patience,
            tol=0.0,
            random_state=examples.seed,
        )


def _watching(examples: Examples, watched: Examples | None, fitted: Fitted) -> dict[str, Any]:
    found: dict[str, Any] = {} if examples.weights is None else {"sample_weight": examples.weights}
    if watched is None:
        return found
    # scikit-learn refuses to watch classes that the other rows lack.
    classes = examples.task in CLASSES
    seen = np.flatnonzero(np.isin(watched.y, examples.y)) if classes else np.arange(len(watched))
    part = watched.take(seen)
    found |= {"X_val": fitted.transform(part.rows.floats, part.rows.strings), "y_val": part.y}
    return found if part.weights is None else {**found, "sample_weight_val": part.weights}


def _places(model: Any, examples: Examples) -> NDArray[np.int64]:
    """Return the target of each tree of a round."""
    if examples.task != "multiclass":
        return np.zeros(1, np.int64)
    return np.asarray(model.classes_, np.int64)


@dataclass(frozen=True, eq=False)
class _Ensemble:
    """A fitted model. `places` are the classes that it has seen. Of two, a round is one tree, for the second."""

    model: Any
    places: NDArray[np.int64]
    targets: int

    def raw(self, matrix: Matrix) -> NDArray[np.float64]:
        with libraries.one_thread():
            # `_raw_predict` is `decision_function` of a classifier. A regressor has no public name for it.
            own = np.asarray(self.model._raw_predict(matrix), float).reshape(len(matrix), -1)
        raw = np.repeat(self._base()[None], len(matrix), axis=0)
        raw[:, self._own()] = own
        return raw

    def trees(self) -> list[Tree]:
        own = self._own()
        base = self._base()
        base[own] = np.asarray(self.model._baseline_prediction, float).reshape(-1)
        return [
            constant(base),
            *(
                _tree(tree.nodes, int(place))
                for each in self.model._predictors
                for tree, place in zip(each, own, strict=True)
            ),
        ]

    def gains(self, columns: int) -> NDArray[np.float64]:
        nodes = np.concatenate([tree.nodes for each in self.model._predictors for tree in each])
        splits = nodes[nodes["is_leaf"] == 0]
        return np.bincount(splits["feature_idx"], np.maximum(splits["gain"], 0.0), minlength=columns).astype(float)

    def _own(self) -> NDArray[np.int64]:
        return self.places[1:] if len(self.places) == 2 else self.places

    def _base(self) -> NDArray[np.float64]:
        """Return what each target has without trees: 0, or a very low score for a class that the rows lack."""
        if self.targets == 1:
            return np.zeros(1)
        base = np.full(self.targets, np.asarray(self.model._baseline_prediction).min() - ABSENT)
        if len(self.places) == 2:
            base -= ABSENT
        base[self.places] = 0.0
        return base


def _tree(nodes: Any, target: int) -> Tree:
    leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        feature=np.where(leaf, LEAF, nodes["feature_idx"]),
        threshold=np.where(leaf, 0.0, nodes["num_threshold"]),
        yes=np.where(leaf, 0, nodes["left"]).astype(np.int64),
        no=np.where(leaf, 0, nodes["right"]).astype(np.int64),
        missing_yes=nodes["missing_go_to_left"].astype(bool),
        values=np.where(leaf, nodes["value"], 0.0)[:, None],
        targets=(target,),
    )


hist_boosting = maker(HistBoosting)
