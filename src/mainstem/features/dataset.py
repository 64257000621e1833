"""The dataset of a model: one row per example, with every feature as known at the prediction time."""

from __future__ import annotations

from typing import Any

import ibis

from mainstem.features.leaks import check_leaks
from mainstem.features.offline.join import AsOf, join
from mainstem.features.plan import FeaturePlan, check_assumed, plan_features
from mainstem.features.rowwise.on_demand import expressions
from mainstem.features.views.view import Lookup
from mainstem.nodes.definition import Graph
from mainstem.nodes.expressions import resolve_column
from mainstem.nodes.hidden import TARGET, T
from mainstem.nodes.instants import INSTANT

__all__ = ["check_assumed", "check_leaks", "dataset", "plan_features", "with_features"]


def dataset(graph: Graph, model: str, *, as_of: AsOf = "arrived", examples: ibis.Table | None = None) -> ibis.Table:
    """Return the dataset as an unbound Ibis table over stored relations: each example once, by time and key.

    Its columns are the examples' key, the request fields, `_t` (the prediction time), every model column, and
    `_target`, which is null if the outcome is not known yet. `examples`, with the same columns, can replace the node's
    rows.
    """
    plan = plan_features(graph, model)
    node: Any = graph[model].node
    definition: Any = graph[plan.examples]
    rows = definition.read if examples is None else examples
    key = getattr(definition.node, "key", ())
    kept = list(dict.fromkeys((*key, *plan.request)))
    time = resolve_column(rows, node.prediction_time, definition.where).cast(INSTANT)
    target = resolve_column(rows, node.target, definition.where)
    chosen = rows.select(**{c: rows[c] for c in kept}, **{T: time, TARGET: target})
    found = with_features(chosen, plan, as_of)
    return found.select(*kept, T, *(c for c in plan.columns if c not in kept), TARGET).order_by(T, *kept)


def with_features(rows: ibis.Table, plan: FeaturePlan, as_of: AsOf = "arrived") -> ibis.Table:
    """Return `rows` (request fields and `_t`) with every model column added."""
    rows = rows.mutate(**{name: rows[name].cast(kind) for name, kind in plan.request.items()})
    for step in plan.steps:
        if isinstance(step, Lookup):
            rows = join(rows, T, [step], as_of)
        else:
            rows = rows.mutate(**expressions(step.node.features, rows))
    return rows
