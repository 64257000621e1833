"""The rules of time for features, as an oracle to be checked by eye and a suite that any interpreter must pass.

    from mainstem.testing.features import example_view, expected

An interpreter is a function `(view, events, queries) → one mapping feature → value per query`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ibis

from mainstem.features.view import CompiledView, compile_view
from mainstem.graph.known import Known
from mainstem.nodes.definition import Definition
from mainstem.nodes.features import feature_view
from mainstem.nodes.sources import stream

INSTANT = "timestamp('UTC', 6)"

SCHEMA = {
    "who": "string",
    "where": "int64",
    "at": INSTANT,
    "number": "float64",
    "whole": "int64",
    "flag": "boolean",
    "text": "string",
    "turn": "int64",
}
"""The columns of the suite's events; `_seq` and `_arrived` come beside them, instants are int µs."""

Event = Mapping[str, Any]
Query = tuple[tuple[Any, ...], int]
Interpreter = Callable[[CompiledView, Sequence[Event], Sequence[Query]], list[dict[str, Any]]]

REDUCE: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "sum": lambda values: _total(values) if values else None,
    "mean": lambda values: _total(values) / len(values) if values else None,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
    "last": lambda values: values[-1] if values else None,
    "var": lambda values: statistics.variance(values) if len(values) > 1 else None,
    "std": lambda values: statistics.stdev(values) if len(values) > 1 else None,
    "var_pop": lambda values: statistics.pvariance(values) if values else None,
    "std_pop": lambda values: statistics.pstdev(values) if values else None,
}
"""What each aggregation means, on the values that are not null, in the order of their events."""


def expected(view: CompiledView, events: Sequence[Event], query: Query, *, as_of: str = "arrived") -> dict[str, Any]:
    """What a query must see, computed naively."""
    key, t = query

    def before(instant: int) -> bool:
        return instant <= t if view.inclusive else instant < t

    rows = [{**event, **view.row_function(event)} for event in events]
    rows = [r for r in rows if tuple(r[c] for c in view.key) == key and r["at"] is not None and before(r["at"])]
    if as_of == "arrived":
        rows = [r for r in rows if before(r["at"] if r["_arrived"] is None else r["_arrived"])]
    found: dict[str, Any] = {}
    for feature in view.features:
        order = [*(["_order"] if view.order_by else []), "_seq"]
        tie = list(view.arguments) if feature.window is None else [feature.argument]
        ranked = sorted(rows, key=lambda r: (r["at"], *_order(r, view, order), *(_lowest(r, c) for c in tie)))
        if feature.window is None or feature.aggregation is None:
            fresh = [r for r in ranked[-1:] if view.ttl is None or r["at"] >= t - view.ttl]
            found[feature.name] = _value(fresh[0], feature.argument) if fresh else None
        else:
            start = (t // feature.window.resolution) * feature.window.resolution - feature.window.size
            values = [_value(r, feature.argument) for r in ranked if r["at"] >= start]
            found[feature.name] = REDUCE[feature.aggregation.name]([v for v in values if v is not None])
    return found


def same(actual: Any, wanted: Any, scale: float = 0.0) -> bool:
    """Equality as Mainstem promises it: exact, but 1e-9 for floats, relative to the larger of value and `scale`."""
    if isinstance(actual, float) and isinstance(wanted, float):
        return math.isclose(actual, wanted, rel_tol=1e-9, abs_tol=1e-9 * scale)
    return type(actual) is type(wanted) and bool(actual == wanted)


def example_view(**settings: Any) -> CompiledView:
    """A view named `view` over a stream of the suite's events; `settings` are those of `ms.feature_view`."""
    node = stream("events", schema=SCHEMA, time="at")
    stored = ibis.table({**SCHEMA, "_seq": "int64", "_arrived": INSTANT}, name="events")
    known = dict.fromkeys(SCHEMA, Known.at("at"))
    source = Definition("events", node, (), "-", schema=SCHEMA, read=stored, known=known)
    return compile_view(feature_view(node, **{"key": "who", **settings}), "view", source)


def _total(values: list[Any]) -> Any:
    return sum(values) if isinstance(values[0], int) else math.fsum(values)


def _value(row: Event, column: str | None) -> Any:
    value = True if column is None else row[column]
    return None if isinstance(value, float) and math.isnan(value) else value


def _lowest(row: Event, column: str | None) -> tuple[bool, Any]:
    value = _value(row, column)
    return (value is not None, value)


def _order(row: Event, view: CompiledView, columns: Sequence[str]) -> list[Any]:
    seq = -1 if row["_seq"] is None else row["_seq"]
    return [_lowest(row, view.order_by), seq] if "_order" in columns else [seq]
