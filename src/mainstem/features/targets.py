"""The target of a model as an expression over its examples. The label of an outcome depends on the time that passed."""

from __future__ import annotations

from typing import Any

import ibis

from mainstem.errors import DefinitionError, SchemaError
from mainstem.features.instants import to_micros
from mainstem.features.values import without_nan
from mainstem.nodes.definition import Graph
from mainstem.nodes.expressions import resolve_column
from mainstem.nodes.instants import micros_of
from mainstem.nodes.models import Model
from mainstem.nodes.outcomes import Outcome, condition_of
from mainstem.nodes.records import now


def target_of(rows: ibis.Table, model: Model, where: str | None = None) -> ibis.Value:
    """Return what the target says of each row as it is: of an outcome, whether it has happened. NaN is null."""
    return given_of(rows, condition_of(model.target), where)


def given_of(rows: ibis.Table, value: Any, where: str | None = None) -> ibis.Value:
    """Return what a model's `target`, `weight`, `groups`, `split` or `query` is of each row. NaN is null."""
    found: ibis.Value = without_nan(resolve_column(rows, value, where))
    return found


def labels(rows: ibis.Table, model: Model, time: Any, where: str | None = None) -> tuple[ibis.Value, ibis.Value | None]:
    """Return the label of each row, and whether it is mature; None if labels do not take a declared time.

    `time` is the prediction time of each row. An outcome is counted as of now.
    """
    found: Any = target_of(rows, model, where)
    if not isinstance(model.target, Outcome):
        return found, None
    mature = is_mature(model.target, time)
    return ibis.cases((found.fill_null(False), True), (mature, False)), mature


def is_mature(outcome: Outcome, time: Any) -> ibis.Value:
    """Return whether `after` has passed since each instant. A null instant never matures."""
    found: ibis.Value = (to_micros(time) <= micros_of(now()) - outcome.micros).fill_null(False)
    return found


def clock_of(graph: Graph, name: str) -> Any:
    """Return the instant from which the outcome of a model's example counts: its prediction time, or its time."""
    model: Any = graph[name].node
    if model.prediction_time is not None:
        return model.prediction_time
    return getattr(graph[graph.name_of(model.examples)].node, "time", None)


def check_outcome(graph: Graph, name: str) -> None:
    """Refuse an outcome that is not a condition, or whose examples have no time. Raises `DefinitionError`."""
    model: Any = graph[name].node
    if not isinstance(model.target, Outcome):
        return
    where = str(model.target.origin)
    examples = graph[graph.name_of(model.examples)]
    kind = target_of(ibis.table(dict(examples.schema or {}), name=examples.name), model, where).type()
    if not kind.is_boolean():
        raise SchemaError(
            "`ms.outcome` needs a condition that is true or false",
            where=where,
            got=str(kind),
            expected="boolean",
            hint="ms.outcome(_.received_at.notnull(), …)",
        )
    if clock_of(graph, name) is None:
        raise DefinitionError(
            "`ms.outcome` needs the time of each example, and the model has none",
            where=where,
            got=f"no `prediction_time`, and {examples.name!r} has no `time`",
            expected=f"an instant from which {model.target.after} are counted",
            hint="prediction_time=_.paid_at",
        )
