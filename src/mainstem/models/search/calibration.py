"""Calibration: probabilities are corrected by what came of them out of fold, as a subgraph of our own.

`isotonic` is a rising piecewise linear function through the centres of isotonic regression's blocks, so that it keeps
the order of scores (Oron and Flournoy, "Centered isotonic regression", 2017). `sigmoid` is Platt's scaling of the
log-odds. `temperature` divides the logarithms of several classes' probabilities. Converters of libraries are wrong
about isotonic calibration by 0.69, so none is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms import Candidate, libraries
from mainstem.models.algorithms.base import Algorithm, Estimator, Settings
from mainstem.models.data.rows import Examples, Rows, Scores
from mainstem.models.engineering import Engineered, fit
from mainstem.models.graphs.builder import Builder
from mainstem.nodes.models import Task

LEAST = 1e-6
"""Probabilities nearer to 0 and 1 are moved here before their logarithm is taken."""

MOST_KNOTS = 100

Weights = NDArray[np.float64] | None
"""How much each row counts; None if all count the same."""


class Calibrator(Protocol):
    """A function of scores. `onnx` adds the same to a graph."""

    def scores(self, scores: Scores) -> Scores: ...

    def onnx(self, builder: Builder, scores: str) -> str: ...


@dataclass(frozen=True, eq=False)
class Isotonic:
    """Piecewise linear through `knots`, at which it has `values`; both rise. Constant outside."""

    knots: NDArray[np.float64]
    values: NDArray[np.float64]

    @classmethod
    def fit(cls, y: NDArray[Any], scores: Scores, weights: Weights = None) -> Isotonic | None:
        if weights is not None:
            y, scores, weights = y[weights > 0], scores[weights > 0], weights[weights > 0]
        regression = libraries.sklearn("isotonic").IsotonicRegression(out_of_bounds="clip")
        found = regression.fit_transform(scores, y, sample_weight=weights)
        blocks, of_row = np.unique(found, return_inverse=True)
        counted = np.ones(len(y)) if weights is None else weights
        centres = np.bincount(of_row, scores * counted) / np.bincount(of_row, counted)
        if len(blocks) > MOST_KNOTS:
            some = np.unique(np.linspace(0, len(blocks) - 1, MOST_KNOTS).round().astype(int))
            blocks, centres = blocks[some], centres[some]
        if len(blocks) < 2 or not (np.diff(centres) > 0).all():
            return None
        # A rate of 0 or 1 in the rows at hand is not certain: half a row is added on the other side.
        edge = 0.5 / (len(y) + 1)
        return cls(centres, np.clip(blocks, edge, 1 - edge))

    def scores(self, scores: Scores) -> Scores:
        inside = np.clip(scores[:, None] - self.knots[:-1], 0.0, np.diff(self.knots))
        return np.asarray(inside @ self._slopes + self.values[0])

    def moved(self, shift: float) -> Isotonic:
        """Return the same function of scores whose log-odds are moved by `shift`."""
        from scipy.special import expit, logit

        knots, kept = np.unique(expit(logit(self.knots) - shift), return_index=True)  # near 1 they may be one number
        return Isotonic(knots, self.values[kept])

    def onnx(self, builder: Builder, scores: str) -> str:
        column = builder.add("Unsqueeze", scores, builder.constant(np.array([1], np.int64)))
        past = builder.add("Sub", column, builder.constant(self.knots[:-1][None]))
        inside = builder.add("Max", past, builder.constant(np.zeros((1, 1))))
        inside = builder.add("Min", inside, builder.constant(np.diff(self.knots)[None]))
        total = builder.add("MatMul", inside, builder.constant(self._slopes[:, None]))
        flat = builder.add("Reshape", total, builder.constant(np.array([-1], np.int64)))
        return builder.add("Add", flat, builder.constant(self.values[:1]))

    @property
    def _slopes(self) -> NDArray[np.float64]:
        return np.asarray(np.diff(self.values) / np.diff(self.knots))


@dataclass(frozen=True)
class Sigmoid:
    """P = 1 / (1 + exp(−(slope · log-odds + shift)))."""

    slope: float
    shift: float

    @classmethod
    def fit(cls, y: NDArray[Any], scores: Scores, weights: Weights = None) -> Sigmoid | None:
        with libraries.one_thread():
            model = libraries.sklearn("linear_model").LogisticRegression(C=1e6, max_iter=300)
            found = model.fit(odds_of(scores)[:, None], y, sample_weight=weights)
        slope = float(found.coef_[0, 0])
        return cls(slope, float(found.intercept_[0])) if slope > 0 else None  # a falling one turns the order round

    def scores(self, scores: Scores) -> Scores:
        return probabilities(self.slope * odds_of(scores) + self.shift)

    def moved(self, shift: float) -> Sigmoid:
        """Return the same function of scores whose log-odds are moved by `shift`."""
        return Sigmoid(self.slope, self.shift + self.slope * shift)

    def onnx(self, builder: Builder, scores: str) -> str:
        inside = _bounded(builder, scores)
        other = builder.add("Sub", builder.constant(np.array(1.0)), inside)
        odds = builder.add("Log", builder.add("Div", inside, other))
        scaled = builder.add("Mul", odds, builder.constant(np.array(self.slope)))
        return builder.add("Sigmoid", builder.add("Add", scaled, builder.constant(np.array(self.shift))))


@dataclass(frozen=True)
class Temperature:
    """Probabilities proportional to P^(1 / degrees)."""

    degrees: float

    @classmethod
    def fit(cls, y: NDArray[Any], scores: Scores, weights: Weights = None) -> Temperature | None:
        from scipy.optimize import minimize_scalar

        def loss(log: float) -> float:
            return float(np.average(losses(y, cls(float(np.exp(log))).scores(scores)), weights=weights))

        found = minimize_scalar(loss, bounds=(-3, 3))
        return cls(float(np.exp(found.x)))

    def scores(self, scores: Scores) -> Scores:
        raw = np.log(np.clip(scores, LEAST, 1 - LEAST)) / self.degrees
        powers = np.exp(raw - raw.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True))

    def onnx(self, builder: Builder, scores: str) -> str:
        raw = builder.add("Log", _bounded(builder, scores))
        return builder.add("Softmax", builder.add("Div", raw, builder.constant(np.array(self.degrees))), axis=-1)


KINDS: Mapping[str, Callable[[NDArray[Any], Scores, Weights], Calibrator | None]] = {
    "isotonic": Isotonic.fit,
    "sigmoid": Sigmoid.fit,
    "temperature": Temperature.fit,
}

OF_TASK: Mapping[Task, tuple[str, ...]] = {
    "binary": ("sigmoid", "isotonic"),
    "multiclass": ("temperature",),
    "regression": (),
    "count": (),
    "quantile": (),
    "ranking": (),
}
"""The kinds for each task; of equally good ones, the first is taken."""


@dataclass(frozen=True, eq=False)
class CalibratedScore:
    """A fitted estimator whose scores are corrected."""

    of: Estimator
    by: Calibrator

    @property
    def settings(self) -> Settings:
        return self.of.settings

    @property
    def conversions(self) -> tuple[CalibratedScore, ...]:
        """The conversions to try, as the estimator has them."""
        return tuple(CalibratedScore(each, self.by) for each in getattr(self.of, "conversions", (self.of,)))

    def scores(self, rows: Rows) -> Scores:
        return self.by.scores(self.of.scores(rows))

    def onnx(self, builder: Builder) -> str:
        return self.by.onnx(builder, self.of.onnx(builder))

    def importances(self, inputs: int) -> NDArray[np.float64]:
        return self.of.importances(inputs)


@dataclass(frozen=True, eq=False)
class Calibrated:
    """An algorithm whose scores are corrected by what its folds have shown."""

    of: Algorithm
    by: Calibrator
    composed: ClassVar[bool] = True

    @property
    def prepares(self) -> bool:
        """Whether declared steps of inputs reach the algorithm."""
        return bool(getattr(self.of, "prepares", False))

    @property
    def chosen(self) -> dict[str, Any]:
        """The settings of the algorithm that differ from their defaults."""
        return dict(getattr(self.of, "chosen", {}))

    def fit(self, examples: Examples, settings: Settings | None = None) -> CalibratedScore:
        return CalibratedScore(fit(self.of, examples, settings), self.by)

    def settle(self, found: Sequence[Settings]) -> Settings:
        return self.of.settle(found)


def calibrated(candidate: Candidate, kind: str, by: Calibrator) -> Candidate:
    """Return a candidate whose scores are corrected."""
    return Candidate(f"{candidate.name}, {kind}", Calibrated(candidate.algorithm, by))


def inner(algorithm: Algorithm) -> Algorithm:
    """Return the algorithm whose scores are corrected or whose inputs are made, or the algorithm itself."""
    while isinstance(algorithm, (Calibrated, Engineered)):
        algorithm = algorithm.of
    return algorithm


def losses(y: NDArray[Any], scores: Scores) -> NDArray[np.float64]:
    """Return the log loss of each row."""
    if scores.ndim == 2:
        return np.asarray(-np.log(np.clip(scores[np.arange(len(y)), y], LEAST, 1)))
    inside = np.clip(scores, LEAST, 1 - LEAST)
    return np.asarray(-np.where(y == 1, np.log(inside), np.log1p(-inside)))


def odds_of(scores: Scores) -> Scores:
    """Return the log-odds of probabilities."""
    inside = np.clip(scores, LEAST, 1 - LEAST)
    return np.asarray(np.log(inside / (1 - inside)))


def probabilities(odds: Scores) -> Scores:
    """Return the probabilities of log-odds."""
    return np.asarray(1 / (1 + np.exp(-odds)))


def _bounded(builder: Builder, scores: str) -> str:
    above = builder.add("Max", scores, builder.constant(np.array(LEAST)))
    return builder.add("Min", above, builder.constant(np.array(1 - LEAST)))
