"""A small neural network."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms import libraries
from mainstem.models.algorithms.base import Settings, linked, linked_onnx, usable
from mainstem.models.algorithms.settings import Choice, Declared, Range, maker, setting
from mainstem.models.data.rows import Examples, Rows, Scores
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing import LINEAR, Fitted, fit
from mainstem.nodes.base import refused
from mainstem.nodes.kinds import integer, number
from mainstem.nodes.models import Task

Layer = tuple[NDArray[np.float64], NDArray[np.float64]]

ABSENT = 10.0
"""How far the raw score of a class that the rows lack is below 0."""

FEWEST_WATCHED = 500
"""Rows from which a tenth of them tells when to stop."""


@dataclass(frozen=True, eq=False)
class NetworkScore:
    """Layers of weights [p, q] and biases [q] with rectified units between them, in float64."""

    task: Task
    fitted: Fitted
    layers: Sequence[Layer]
    settings: Settings = field(default_factory=dict)

    def scores(self, rows: Rows) -> Scores:
        values = self.fitted.transform(rows.floats, rows.strings).astype(np.float64)
        with libraries.one_thread():
            for place, (weights, bias) in enumerate(self.layers):
                values = np.maximum(values, 0) if place else values
                values = values @ weights + bias
        return linked(values, self.task)

    def onnx(self, builder: Builder) -> str:
        values = builder.cast(self.fitted.onnx(builder, builder.floats, builder.strings), "DOUBLE")
        for place, (weights, bias) in enumerate(self.layers):
            values = builder.add("Relu", values) if place else values
            product = builder.add("MatMul", values, builder.constant(weights))
            values = builder.add("Add", product, builder.constant(bias))
        return linked_onnx(builder, values, self.task)

    def importances(self, inputs: int) -> NDArray[np.float64]:
        return np.zeros(inputs)


def _sizes(name: str, value: Any) -> None:
    """Require the widths of the hidden layers."""
    if not isinstance(value, tuple) or not value:
        raise refused(f"`{name}` must be a tuple of widths", value, f"{name}=(64, 32)")
    for each in value:
        integer(1)(f"an item of {name}", each)


@dataclass(frozen=True)
class Network(Declared):
    """A multilayer perceptron of scikit-learn over standardised, one-hot inputs, with the names of its parameters.

    From 500 rows on, a tenth of them tells when to stop.
    """

    name = "mlp"

    hidden_layer_sizes: tuple[int, ...] = setting((64, 32), _sizes, Choice(((32,), (64, 32), (128, 64))))
    alpha: float = setting(1e-2, number(-1e-9), Range(1e-5, 1.0, log=True))
    learning_rate_init: float = setting(3e-3, number(0), Range(3e-4, 1e-2, log=True))
    max_iter: int = setting(100, integer(1))

    def fit(self, examples: Examples, settings: Settings | None = None) -> NetworkScore:
        fitted, found = fit(examples, LINEAR)
        matrix = usable(found).astype(np.float64)
        regression = examples.task == "regression"
        centre, spread = (examples.y.mean(), examples.y.std() or 1.0) if regression else (0.0, 1.0)
        model = self._model(examples)
        with warnings.catch_warnings(), libraries.one_thread():
            warnings.simplefilter("ignore")  # a fit that did not converge is judged by its score
            weighed = {} if examples.weights is None else {"sample_weight": examples.weights}
            model.fit(matrix, (examples.y - centre) / spread if regression else examples.y, **weighed)
        layers = [
            (np.asarray(w, float), np.asarray(b, float)) for w, b in zip(model.coefs_, model.intercepts_, strict=True)
        ]
        weights, bias = layers[-1]
        if regression:
            layers[-1] = (weights * spread, bias * spread + centre)
        elif examples.task == "multiclass":
            layers[-1] = _all_classes(weights, bias, model.classes_, examples.classes)
        return NetworkScore(examples.task, fitted, layers)

    def settle(self, found: Sequence[Settings]) -> Settings:
        return {}

    def _model(self, examples: Examples) -> Any:
        library = libraries.sklearn("neural_network")
        kind = library.MLPRegressor if examples.task == "regression" else library.MLPClassifier
        return kind(
            hidden_layer_sizes=self.hidden_layer_sizes,
            alpha=self.alpha,
            learning_rate_init=self.learning_rate_init,
            max_iter=self.max_iter,
            early_stopping=len(examples) >= FEWEST_WATCHED and _spreads(examples),
            n_iter_no_change=10,
            random_state=examples.seed,
        )


def _spreads(examples: Examples) -> bool:
    """Return whether a tenth of the rows can have each class: scikit-learn watches a stratified part."""
    return examples.task == "regression" or int(np.unique(examples.y, return_counts=True)[1].min()) >= 10


def _all_classes(weights: NDArray[np.float64], bias: NDArray[np.float64], seen: NDArray[Any], classes: int) -> Layer:
    """Return one column per class. Two classes have one column, for the second. An absent class gets a low score."""
    if len(seen) == 2:
        weights, bias = np.hstack([-weights, weights]) / 2, np.append(-bias, bias) / 2
    full, base = np.zeros((len(weights), classes)), np.full(classes, -ABSENT)
    full[:, seen], base[seen] = weights, bias
    return full, base


mlp = maker(Network)
