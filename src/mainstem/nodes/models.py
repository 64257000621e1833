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


@dataclass(frozen=True, eq=False, kw_only=True)
class Model(Node):
    """A model of `target` for the rows of `examples` at `prediction_time`, from `features`.

    `test` is the share of the latest labelled examples (0.2), or a duration (`60d`), that is kept for the final
    measurement. `gap` is the time until outcomes are known; it is left out between training and test.
    """

    examples: NodeRef
    prediction_time: Deferred
    target: Deferred
    features: tuple[FeatureUse, ...]
    metric: str | None = None
    task: Task | None = None
    candidates: tuple[str, ...] = ("linear", "lightgbm")
    test: float | str = 0.2
    gap: str = "1d"
    folds: int = 3
    seed: int = 0
    assume_known: Mapping[str, str] = field(default_factory=dict)
    retrain: Literal["definition", "data"] = "definition"


def _share_or_duration(name: str, value: Any) -> None:
    """Require the size of the test: a share, or a duration."""
    (positive_duration if isinstance(value, str) else number(0, 1))(name, value)


@declared(
    examples=node,
    prediction_time=expression(),
    target=expression(),
    features=anything,
    metric=optional(text),
    task=optional(word(*get_args(Task))),
    candidates=columns(at_least=1, of="candidates"),
    test=_share_or_duration,
    gap=duration,
    folds=integer(1),
    seed=integer(0),
    assume_known=anything,
    retrain=word("definition", "data"),
    meta=META,
)
def model(
    *,
    examples: NodeRef,
    prediction_time: Deferred,
    target: Deferred,
    features: Sequence[FeatureUse],
    metric: str | None = None,
    task: Task | None = None,
    candidates: Sequence[str] = ("linear", "lightgbm"),
    test: float | str = 0.2,
    gap: str = "1d",
    folds: int = 3,
    seed: int = 0,
    assume_known: Mapping[str, str] | None = None,
    retrain: Literal["definition", "data"] = "definition",
    **meta: Any,
) -> Model:
    """Declare a model.

    The task is inferred from the target's type unless given: boolean → binary, text → multiclass, number → regression.
    `retrain="data"` trains a new challenger when the examples change.

    Raises `DefinitionError` for an invalid feature, for an invalid value of a parameter, and for an `assume_known`
    without a reason.
    """
    return Model(
        examples=examples,
        prediction_time=prediction_time,
        target=target,
        features=uses_of(features),
        metric=metric,
        task=task,
        candidates=names(candidates, "candidates"),
        test=test,
        gap=gap,
        folds=folds,
        seed=seed,
        assume_known=reasons(assume_known),
        retrain=retrain,
        **meta,
    )
