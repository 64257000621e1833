"""Models: what is predicted, when, and from which features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from mainstem.nodes.base import Deferred, Node, NodeRef, reasons, refused
from mainstem.nodes.candidates import candidates_of, some_candidates
from mainstem.nodes.declared import META, declared
from mainstem.nodes.features import FeatureUse, uses_of
from mainstem.nodes.kinds import (
    anything,
    duration,
    expression,
    integer,
    mapping,
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
    whose rows stay together. `split` says of each row where it belongs, `weight` how much it counts in a fit. `window`
    limits how far back each fold learns. `candidates` are names, algorithms with settings and estimators; None for the
    usual ones. `monotone` says of inputs whether scores rise (1) or fall (-1) with them.
    """

    examples: NodeRef
    target: Deferred
    features: tuple[FeatureUse, ...]
    prediction_time: Deferred | None = None
    groups: Deferred | None = None
    split: Deferred | None = None
    weight: Deferred | None = None
    metric: str | None = None
    task: Task | None = None
    candidates: tuple[Any, ...] | None = None
    test: float | str | None = None
    gap: str = "1d"
    window: str | None = None
    folds: int = 3
    seed: int = 0
    monotone: Mapping[str, int] = field(default_factory=dict)
    assume_known: Mapping[str, str] = field(default_factory=dict)
    retrain: Literal["definition", "data"] = "definition"


def _share_or_duration(name: str, value: Any) -> None:
    """Require the size of the test: a share, or a duration."""
    (positive_duration if isinstance(value, str) else number(0, 1))(name, value)


def _direction(name: str, value: Any) -> None:
    """Require how scores follow an input: 1 if they rise with it, −1 if they fall."""
    if isinstance(value, bool) or value not in (1, -1):
        raise refused(f"`{name}` has an invalid value", value, "1 if scores rise with the input, -1 if they fall")


@declared(
    examples=node,
    target=expression(),
    features=anything,
    prediction_time=optional(expression()),
    groups=optional(expression()),
    split=optional(expression()),
    weight=optional(expression()),
    metric=optional(text),
    task=optional(word(*get_args(Task))),
    candidates=optional(some_candidates),
    test=optional(_share_or_duration),
    gap=duration,
    window=optional(positive_duration),
    folds=integer(1),
    seed=integer(0),
    monotone=optional(mapping(_direction)),
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
    weight: Deferred | None = None,
    metric: str | None = None,
    task: Task | None = None,
    candidates: Sequence[Any] | Any | None = None,
    test: float | str | None = None,
    gap: str = "1d",
    window: str | None = None,
    folds: int = 3,
    seed: int = 0,
    monotone: Mapping[str, int] | None = None,
    assume_known: Mapping[str, str] | None = None,
    retrain: Literal["definition", "data"] = "definition",
    **meta: Any,
) -> Model:
    """Declare a model.

    The task is inferred from the target's type unless given: boolean → binary, text → multiclass, number → regression.
    `candidates` are names of algorithms, algorithms with settings (`ms.lightgbm(num_leaves=63)`) and estimators of
    scikit-learn. `features="all"` are all columns of the examples but the key, and those of `target`, `groups`, `split`
    and `weight`. `retrain="data"` trains a new challenger when the examples change.

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
        weight=weight,
        metric=metric,
        task=task,
        candidates=candidates_of(candidates),
        test=test,
        gap=gap,
        window=window,
        folds=folds,
        seed=seed,
        monotone=dict(monotone or {}),
        assume_known=reasons(assume_known),
        retrain=retrain,
        **meta,
    )
