"""Models: what is predicted, when, and from which features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from mainstem.nodes.base import Deferred, Node, NodeRef, names, reasons
from mainstem.nodes.declared import META, declared
from mainstem.nodes.features import FeatureUse, uses_of
from mainstem.nodes.kinds import (
    anything,
    columns,
    duration,
    expression,
    integer,
    node,
    number,
    optional,
    positive_duration,
    text,
    word,
)

Task = Literal["binary", "multiclass", "regression"]

USUAL_TEST = 0.2
"""The share of the test, unless it is declared."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Model(Node):
    """A model of `target` for the rows of `examples` at `prediction_time`, from `features`.

    Without `prediction_time`, rows have no order, and no leak is found by time. `test` is the share of the latest
    labelled examples (0.2), or a duration (`60d`), that is kept for the final measurement; None follows the number of
    rows. `gap` is the time until outcomes are known; it is left out between training and test. `groups` are values
    whose rows stay together. `split` says of each row where it belongs. `window` limits how far back each fold learns.
    """

    examples: NodeRef
    target: Deferred
    features: tuple[FeatureUse, ...]
    prediction_time: Deferred | None = None
    groups: Deferred | None = None
    split: Deferred | None = None
    metric: str | None = None
    task: Task | None = None
    candidates: tuple[str, ...] = ("linear", "lightgbm")
    test: float | str | None = None
    gap: str = "1d"
    window: str | None = None
    folds: int = 3
    seed: int = 0
    assume_known: Mapping[str, str] = field(default_factory=dict)
    retrain: Literal["definition", "data"] = "definition"


def _share_or_duration(name: str, value: Any) -> None:
    """Require the size of the test: a share, or a duration."""
    (positive_duration if isinstance(value, str) else number(0, 1))(name, value)


@declared(
    examples=node,
    target=expression(),
    features=anything,
    prediction_time=optional(expression()),
    groups=optional(expression()),
    split=optional(expression()),
    metric=optional(text),
    task=optional(word(*get_args(Task))),
    candidates=columns(at_least=1, of="candidates"),
    test=optional(_share_or_duration),
    gap=duration,
    window=optional(positive_duration),
    folds=integer(1),
    seed=integer(0),
    assume_known=anything,
    retrain=word("definition", "data"),
    meta=META,
)
def model(
    examples: NodeRef,
    *,
    target: Deferred,
    features: Sequence[FeatureUse] | Literal["all"],
    prediction_time: Deferred | None = None,
    groups: Deferred | None = None,
    split: Deferred | None = None,
    metric: str | None = None,
    task: Task | None = None,
    candidates: Sequence[str] = ("linear", "lightgbm"),
    test: float | str | None = None,
    gap: str = "1d",
    window: str | None = None,
    folds: int = 3,
    seed: int = 0,
    assume_known: Mapping[str, str] | None = None,
    retrain: Literal["definition", "data"] = "definition",
    **meta: Any,
) -> Model:
    """Declare a model.

    The task is inferred from the target's type unless given: boolean → binary, text → multiclass, number → regression.
    `features="all"` are all columns of the examples but the key, and those of `target`, `groups` and `split`.
    `retrain="data"` trains a new challenger when the examples change.

    Raises `DefinitionError` for an invalid feature, for an invalid value of a parameter, and for an `assume_known`
    without a reason.
    """
    return Model(
        examples=examples,
        target=target,
        features=uses_of(features),
        prediction_time=prediction_time,
        groups=groups,
        split=split,
        metric=metric,
        task=task,
        candidates=names(candidates, "candidates"),
        test=test,
        gap=gap,
        window=window,
        folds=folds,
        seed=seed,
        assume_known=reasons(assume_known),
        retrain=retrain,
        **meta,
    )
