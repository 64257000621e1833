"""The dataset of a model: one row per example, with every feature as known at the prediction time."""

from __future__ import annotations

from typing import Any

import ibis

from mainstem.features.forecasts import forecast_of, known_by_now
from mainstem.features.gaps import gap_of, known_at
from mainstem.features.leaks import check_leaks
from mainstem.features.offline.join import AsOf, join
from mainstem.features.retrieval import Retrieval, check_assumed, retrieval_of
from mainstem.features.rowwise.on_demand import expressions
from mainstem.features.targets import clock_of, given_of, labels, target_of
from mainstem.features.views.view import Lookup
from mainstem.graph.named import named
from mainstem.nodes.definition import Graph
from mainstem.nodes.expressions import resolve_column
from mainstem.nodes.hidden import GROUP, LABELLED, LAST, MATURE, PART, QUERY, SEASON, TARGET, WEIGHT, T
from mainstem.nodes.instants import INSTANT
from mainstem.tables.total import total

__all__ = ["check_assumed", "check_leaks", "dataset", "retrieval_of", "with_features"]


def dataset(graph: Graph, model: str, *, as_of: AsOf = "arrived", examples: ibis.Table | None = None) -> ibis.Table:
    """Return the dataset as an unbound Ibis table over stored relations: each example once, by time and key. An example
    of a forecast is a row and a horizon.

    Its columns are the examples' key, the request fields, `_t` (the prediction time), every model column, and
    `_target`, which is null if the outcome is not known yet, or read a NaN. `_t` is null for a model without a
    prediction time. A model of an outcome that takes time has `_mature`: whether that time has passed. If only the rows
    tell when a label was known, `_labelled` is that time. A model with `groups=`, `split=` or `weight=` has their
    values as `_group`, `_part` and `_weight`, and a forecast has `_last` and `_season`. `examples`, with the same
    columns, can replace the node's rows.
    """
    retrieval = retrieval_of(graph, model)
    node: Any = graph[model].node
    definition: Any = graph[retrieval.examples]
    rows = definition.read if examples is None else examples
    key = getattr(definition.node, "key", ())
    kept = list(dict.fromkeys((*key, *retrieval.request)))
    forecast = forecast_of(graph, model)
    if forecast is not None:
        target = target_of(rows, node, definition.where)
        rows = forecast.examples(rows, known_by_now(graph, model, forecast, rows, target))
    asked = node.prediction_time
    time = ibis.null() if asked is None else resolve_column(rows, asked, definition.where)
    label, mature = labels(rows, node, _clock(rows, graph, model), definition.where)
    label = label if forecast is None else rows[TARGET]
    beside = {} if forecast is None else {LAST: rows[LAST], SEASON: rows[SEASON]}
    beside |= {MATURE: mature, LABELLED: known_at(rows, gap_of(graph, model))}
    given = {GROUP: node.groups, PART: node.split, WEIGHT: node.weight, QUERY: node.query}
    more = {name: given_of(rows, v, definition.where) for name, v in given.items() if v is not None}
    more |= {name: value for name, value in beside.items() if value is not None}
    own = {name: total(value) for name, value in {TARGET: label, **more}.items()}
    chosen = rows.select(*named({c: rows[c] for c in kept}), *named({T: time.cast(INSTANT), **own}))
    found = with_features(chosen, retrieval, as_of)
    features = [c for c in retrieval.columns if c not in kept]
    rows = found.select(*kept, T, *features, *more, TARGET)
    # Without a key, rows that are alike in what they were asked by differ in the rest.
    rest = () if key else [c for c in (*features, *more, TARGET) if not rows[c].type().is_nested()]
    return rows.order_by(T, *kept, *rest)


def _clock(rows: ibis.Table, graph: Graph, model: str) -> Any:
    """Return the instant of each row from which its outcome counts."""
    clock = clock_of(graph, model)
    return None if clock is None else resolve_column(rows, clock).cast(INSTANT)


def with_features(rows: ibis.Table, retrieval: Retrieval, as_of: AsOf = "arrived") -> ibis.Table:
    """Return `rows` (request fields and `_t`) with every model column added."""
    other = {name: kind for name, kind in retrieval.request.items() if rows[name].type() != ibis.dtype(kind)}
    rows = rows.mutate(*named({name: rows[name].cast(kind) for name, kind in other.items()})) if other else rows
    for action in retrieval.actions:
        if isinstance(action, Lookup):
            rows = join(rows, T, [action], as_of)
        else:
            rows = rows.mutate(*named(expressions(action.node.features, rows)))
    return rows
