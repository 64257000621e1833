"""Offer a fitted candidate for deployment: its artifact, if it passes the gate."""

from __future__ import annotations

from dataclasses import dataclass, field

from mainstem.errors import GateError, MainstemError, ModelError
from mainstem.models.algorithms.base import Estimator
from mainstem.models.algorithms.estimators import SklearnEstimator
from mainstem.models.artifact import export, gate
from mainstem.models.artifact.manifest import Agreement
from mainstem.models.data.rows import Examples, Rows
from mainstem.models.evaluation import comparison as evaluation
from mainstem.models.evaluation.comparison import Comparison
from mainstem.models.evaluation.fitting import blamed
from mainstem.models.search.calibration import inner

LONGEST = 300
"""Characters of a reason on a card."""


@dataclass(frozen=True, eq=False)
class Offered:
    """A fitted candidate, as Python and as its gated artifact. It is the best of `compared`."""

    estimator: Estimator
    onnx: bytes
    agreement: Agreement
    compared: Comparison


@dataclass(frozen=True, eq=False)
class Kept:
    """The candidates that are compared, but not offered for deployment: why, by name."""

    reasons: dict[str, str] = field(default_factory=dict)

    def told(self, compared: Comparison) -> dict[str, str]:
        """Return what the card says of them."""
        return {f"not deployable: {name}": reason for name, reason in self.reasons.items() if name in compared.scores}


def offered(examples: Examples, compared: Comparison, rows: Rows, kept: Kept) -> Offered:
    """Fit the best candidate that can be deployed, and check its artifact on `rows`.

    An estimator of scikit-learn whose conversion fails, or scores otherwise, is `kept`, and the next best is fitted.
    Raises `GateError` for another algorithm, and `ModelError` if no candidate is left.
    """
    compared = compared.without(kept.reasons)
    while compared.ranked:
        fitted = evaluation.fit(examples, compared)
        try:
            onnx, agreement = _artifact(compared, fitted, examples, rows)
        except ModelError as problem:
            if not isinstance(inner(compared.ranked[0].algorithm), SklearnEstimator):
                raise
            kept.reasons[compared.chosen] = _reason(problem)
            compared = compared.without(kept.reasons)
            continue
        return Offered(fitted, onnx, agreement, compared)
    raise ModelError(
        "no candidate can be deployed",
        got="; ".join(
            f"{name} ({compared.means[name]:.4g}): {reason}"
            for name, reason in kept.reasons.items()
            if name in compared.means
        ),
        expected="an artifact that scores like the fitted model",
        hint='add a candidate that can be: candidates=[…, "lightgbm"]',
    )


def _artifact(compared: Comparison, fitted: Estimator, examples: Examples, rows: Rows) -> tuple[bytes, Agreement]:
    """Return the artifact and how closely it agrees, by the first conversion that does."""
    widths = rows.floats.shape[1], rows.strings.shape[1]
    conversions = getattr(fitted, "conversions", (fitted,))
    for number, each in enumerate(conversions, 1):
        try:
            with blamed(compared.chosen, "cannot be exported", examples):
                onnx = export.graph(each, *widths, examples.task, examples.classes)
                return onnx, gate.check(each, onnx, rows, seed=examples.seed)
        except ModelError:
            if number == len(conversions):
                raise
    raise AssertionError("an estimator has at least one conversion")


def _reason(problem: MainstemError) -> str:
    """Return on one line why a candidate cannot be deployed."""
    what = problem.what if isinstance(problem, GateError) else (problem.got or problem.what)
    hint = f" ({problem.hint.partition(';')[0]})" if isinstance(problem, GateError) and problem.hint else ""
    text = " ".join((what + hint).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
