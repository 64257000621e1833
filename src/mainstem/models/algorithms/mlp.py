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
from mainstem.models.algorithms.quantiles import means
from mainstem.models.algorithms.settings import Choice, Declared, Range, maker, setting
from mainstem.models.algorithms.stopping import watching
from mainstem.models.data.rows import Examples, Rows, Scores
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing import LINEAR, Fitted, fit
from mainstem.nodes.base import refused
from mainstem.nodes.kinds import integer, number
from mainstem.nodes.models import Task

Layer = tuple[NDArray[np.float64], NDArray[np.float64]]

LEAST = 1e-15
"""The least probability whose logarithm is taken."""

ABSENT = 10.0
"""How far the raw score of a class that the rows lack is below 0."""

HELD_OUT = 0.1
"""The latest share of the rows, which tells when to stop."""

FEWEST_WATCHED = 50
"""Rows of that share below which they do not tell."""

PATIENCE = 10
"""Epochs without a better one after which a fit stops."""


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

    @property
    def work(self) -> float:
        """About how many multiplications a score takes."""
        return float(sum(weights.size for weights, _ in self.layers))


def _sizes(name: str, value: Any) -> None:
    """Require the widths of the hidden layers."""
    if not isinstance(value, tuple) or not value:
        raise refused(f"`{name}` must be a tuple of widths", value, f"{name}=(64, 32)")
    for each in value:
        integer(1)(f"an item of {name}", each)


@dataclass(frozen=True)
class Network(Declared):
    """A multilayer perceptron of scikit-learn over standardised, one-hot inputs, with the names of its parameters.

    Without settings, from 500 rows on, the loss of the latest tenth of the rows tells the number of epochs. If it has
    too few rows, or too few of a class, that of all rows does. With settings, all rows are fitted with that number of
    epochs.
    """

    name = "mlp"

    hidden_layer_sizes: tuple[int, ...] = setting((64, 32), _sizes, Choice(((32,), (64, 32), (128, 64))))
    alpha: float = setting(1e-2, number(-1e-9), Range(1e-5, 1.0, log=True))
    learning_rate_init: float = setting(3e-3, number(0), Range(3e-4, 1e-2, log=True))
    max_iter: int = setting(100, integer(1))

    def fit(self, examples: Examples, settings: Settings | None = None) -> NetworkScore:
        parts = None if settings else watching(examples, HELD_OUT, FEWEST_WATCHED)
        learned = examples if parts is None else parts[0]
        fitted, found = fit(learned, LINEAR)
        training = _Training(self._model(examples), learned, usable(found).astype(np.float64))
        with warnings.catch_warnings(), libraries.one_thread():
            warnings.simplefilter("ignore")  # a fit that did not converge is judged by its score
            if parts is None:
                epochs = training.learn(int(settings["epochs"]) if settings else None)
            else:
                rows = parts[1].rows
                matrix = fitted.transform(rows.floats, rows.strings).astype(np.float64)
                epochs = training.watch(parts[1], matrix, self.max_iter)
        return NetworkScore(examples.task, fitted, training.layers(), {"epochs": float(epochs)})

    def settle(self, found: Sequence[Settings]) -> Settings:
        return means(found)

    def _model(self, examples: Examples) -> Any:
        library = libraries.sklearn("neural_network")
        kind = library.MLPRegressor if examples.task == "regression" else library.MLPClassifier
        return kind(
            hidden_layer_sizes=self.hidden_layer_sizes,
            alpha=self.alpha,
            learning_rate_init=self.learning_rate_init,
            max_iter=self.max_iter,
            n_iter_no_change=PATIENCE,
            random_state=np.random.RandomState(examples.seed),
        )


@dataclass(eq=False)
class _Training:
    """A network that learns a matrix, epoch by epoch.

    scikit-learn's own early stopping watches a random part: rows between those that it learns from in time, of the same
    groups, and copies of them.
    """

    model: Any
    examples: Examples
    matrix: NDArray[np.float64]
    centre: float = 0.0
    spread: float = 1.0

    def __post_init__(self) -> None:
        if self.examples.task == "regression":
            self.centre, self.spread = float(self.examples.y.mean()), float(self.examples.y.std()) or 1.0

    def learn(self, epochs: int | None) -> int:
        """Learn for so many epochs, or until the rows are learned no better. Return the number of epochs."""
        if epochs is not None:
            self.model.set_params(max_iter=epochs, n_iter_no_change=epochs)
        self.model.fit(self.matrix, self._targets(self.examples), **self._weighed())
        return int(self.model.n_iter_)

    def watch(self, late: Examples, matrix: NDArray[np.float64], most: int) -> int:
        """Learn until late rows are predicted no better, and keep the best epoch. Return its number, from 1 on."""
        best, number = np.inf, 0
        for epoch in range(1, most + 1):
            self._epoch()
            loss = self._loss(late, matrix)
            if number == 0 or loss < best:
                best, number, kept = loss, epoch, self._copied()
            elif epoch - number >= PATIENCE:
                break
        self.model.coefs_, self.model.intercepts_ = kept
        return number

    def layers(self) -> list[Layer]:
        weights, biases = self._copied()
        weight, bias = weights[-1], biases[-1]
        if self.examples.task == "multiclass":
            last = _all_classes(weight, bias, self.model.classes_, self.examples.classes)
        else:
            last = weight * self.spread, bias * self.spread + self.centre
        return [*zip(weights[:-1], biases[:-1], strict=True), last]

    def _epoch(self) -> None:
        seen = {} if self.examples.task == "regression" else {"classes": np.unique(self.examples.y)}
        self.model.partial_fit(self.matrix, self._targets(self.examples), **self._weighed(), **seen)

    def _loss(self, late: Examples, matrix: NDArray[np.float64]) -> float:
        """Return the mean squared error or the log loss of the rows of classes that are learned."""
        if self.examples.task == "regression":
            losses = (self.model.predict(matrix) - self._targets(late)) ** 2
            return float(np.average(losses, weights=late.weights))
        classes = self.model.classes_
        rows = np.flatnonzero(np.isin(late.y, classes))
        found = self.model.predict_proba(matrix[rows])[np.arange(len(rows)), np.searchsorted(classes, late.y[rows])]
        weights = None if late.weights is None else late.weights[rows]
        return float(np.average(-np.log(np.maximum(found, LEAST)), weights=weights))

    def _targets(self, examples: Examples) -> NDArray[Any]:
        return (examples.y - self.centre) / self.spread if self.examples.task == "regression" else examples.y

    def _weighed(self) -> dict[str, Any]:
        return {} if self.examples.weights is None else {"sample_weight": self.examples.weights}

    def _copied(self) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
        parts = self.model.coefs_, self.model.intercepts_
        weights, biases = ([np.array(each, float) for each in part] for part in parts)
        return weights, biases


def _all_classes(weights: NDArray[np.float64], bias: NDArray[np.float64], seen: NDArray[Any], classes: int) -> Layer:
    """Return one column per class. Two classes have one column, for the second. An absent class gets a low score."""
    if len(seen) == 2:
        weights, bias = np.hstack([-weights, weights]) / 2, np.append(-bias, bias) / 2
    full, base = np.zeros((len(weights), classes)), np.full(classes, -ABSENT)
    full[:, seen], base[seen] = weights, bias
    return full, base


mlp = maker(Network)
