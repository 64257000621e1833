"""The rules of time for features: a simple oracle, and views that any interpreter must compute like it.

    from mainstem.testing.features import example_view, naive, same

An interpreter is a function `(view, events, queries) → one mapping feature → value per query`. The oracle is an
interpreter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ibis

from mainstem.features.views.compile import compile_view
from mainstem.features.views.using import lookups
from mainstem.features.views.view import CompiledView, Feature, Lookup
from mainstem.graph.known import Known
from mainstem.nodes.definition import Definition
from mainstem.nodes.features import ViewUse, feature_view, use
from mainstem.nodes.hidden import ARRIVED, GONE, SEQ
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.sources import stream
from mainstem.testing.reduce import REDUCE, SCALE, Window

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
"""The columns of the suite's events. `_seq` and `_arrived` are added, and `_gone` for deleted events. Instants are int
µs."""

Event = Mapping[str, Any]
Query = tuple[tuple[Any, ...], int]
Interpreter = Callable[[CompiledView, Sequence[Event], Sequence[Query]], list[dict[str, Any]]]


def naive(
    view: CompiledView, events: Sequence[Event], queries: Sequence[Query], *, as_of: str = "arrived"
) -> list[dict[str, Any]]:
    """Return the expected values of each query."""
    return [{name: value for name, (value, _) in found.items()} for found in scaled(view, events, queries, as_of=as_of)]


def scaled(
    view: CompiledView, events: Sequence[Event], queries: Sequence[Query], *, as_of: str = "arrived"
) -> list[dict[str, tuple[Any, float]]]:
    """Return the expected values of each query, each with the scale for its tolerance."""
    rows = _rows(view, [event for event in events if event["at"] is not None], as_of)
    return [_seen(view, rows, key, t, as_of) for key, t in queries]


def _rows(view: CompiledView, events: Sequence[Event], as_of: str) -> list[Event]:
    """Return the events with the features of used views, and with the view's arguments."""
    rows = list(events)
    for lookup in view.chain.lookups if view.chain else ():
        others = _rows(lookup.view, events, as_of)
        rows = [{**row, **_brought(view, lookup, others, row, as_of)} for row in rows]
    return [{**row, **view.row_function(row)} for row in rows]


def _brought(view: CompiledView, lookup: Lookup, others: list[Event], row: Event, as_of: str) -> dict[str, Any]:
    """Return the looked-up features of a row: as of the earlier of its `known` and its arrival; nulls if it came too
    late."""
    came = row["at"] if row[ARRIVED] is None or as_of == "known" else row[ARRIVED]
    late = view.chain is not None and came - row["at"] > view.chain.grace
    key = tuple(row[column] for column in lookup.on)
    found = _seen(lookup.view, [] if late else others, key, min(row["at"], came), as_of)
    return {column: found[feature.name][0] for column, feature in lookup.columns.items()}


def _seen(view: CompiledView, rows: list[Event], key: tuple[Any, ...], t: int, as_of: str) -> dict[str, Any]:
    def before(instant: int) -> bool:
        return instant <= t if view.inclusive else instant < t

    rows = [r for r in rows if None not in key and tuple(r[c] for c in view.key) == key and before(r["at"])]
    if as_of == "arrived":
        rows = [r for r in rows if before(r["at"] if r[ARRIVED] is None else r[ARRIVED])]
    rows = [r for r in rows if r.get(GONE) is None or (as_of == "arrived" and not before(r[GONE]))]
    return {f.name: (_reduced if f.window else _latest)(view, f, rows, t) for f in view.features}


def _latest(view: CompiledView, feature: Feature, rows: list[Event], t: int) -> tuple[Any, float]:
    last = _ranked(view, rows, tuple(view.arguments))[-1:]
    fresh = [r for r in last if view.ttl is None or r["at"] >= t - view.ttl]
    return (_value(fresh[0], feature.argument) if fresh else None), 0.0


def _reduced(view: CompiledView, feature: Feature, rows: list[Event], t: int) -> tuple[Any, float]:
    assert feature.window is not None
    start = (t // feature.window.resolution) * feature.window.resolution - feature.window.size
    ranked = [r for r in _ranked(view, rows, feature.arguments[:1]) if r["at"] >= start]
    valued = [r for r in ranked if _value(r, feature.argument) is not None]
    values, by = ([_value(r, column) for r in valued] for column in (feature.argument, feature.by))
    window = Window(values, by, [r["at"] for r in valued], start, t)
    name, parameters = feature.kind.name, vars(feature.kind)
    found = REDUCE[name](window, **parameters)
    size = SCALE[name](window, **parameters) if values and name in SCALE else 0.0
    return (None if found != found else found), size


def _ranked(view: CompiledView, rows: list[Event], tied: Sequence[str]) -> list[Event]:
    """Return rows in their total order. A null is the smallest value."""

    def rank(row: Event) -> list[Any]:
        order = [_least(_value(row, view.order_by))] if view.order_by else []
        return [row["at"], *order, -1 if row[SEQ] is None else row[SEQ], *(_least(_value(row, c)) for c in tied)]

    return sorted(rows, key=rank)


def _least(value: Any) -> tuple[bool, Any]:
    return (value is not None, value)


def _value(row: Event, column: str | None) -> Any:
    value = True if column is None else row[column]
    return None if isinstance(value, float) and math.isnan(value) else value


def same(actual: Any, wanted: Any, scale: float = 0.0) -> bool:
    """Return whether values are equal: exactly, or for floats within 1e-9 of the larger of value and `scale`."""
    if isinstance(actual, list) and isinstance(wanted, list):
        return len(actual) == len(wanted) and all(map(same, actual, wanted))
    if isinstance(actual, float) and isinstance(wanted, float):
        return math.isclose(actual, wanted, rel_tol=1e-9, abs_tol=1e-9 * scale)
    return type(actual) is type(wanted) and bool(actual == wanted)


def example_view(
    *, changes: bool = False, using: Mapping[str, Mapping[str, Any]] | None = None, **settings: Any
) -> CompiledView:
    """Return a view named `view` over a stream of the suite's events, or of their changes.

    `settings` are those of `ms.feature_view`. `using` maps names to the settings of other views over the same stream,
    which this one and later ones use.
    """
    source = _source(changes)
    node: Any = source.node
    uses: list[ViewUse] = []
    made: dict[str, CompiledView] = {}
    for name, own in {**(using or {}), "view": settings}.items():
        declared = feature_view(node, name=name, using=uses, **{"key": "who", **own})
        found = partial(lookups, declared, name_of=lambda used: str(used.name), compiled=made.__getitem__)
        made[name] = compile_view(declared, name, source, using=found)
        uses.append(use(declared))
    return made["view"]


def _source(changes: bool) -> Definition:
    node = stream("events", schema=SCHEMA, time="at", key=["who", "at"], changes=changes)
    gone = {GONE: INSTANT} if changes else {}
    stored = ibis.table({**SCHEMA, SEQ: "int64", ARRIVED: INSTANT, **gone}, name="events")
    return Definition("events", node, (), "-", schema=SCHEMA, read=stored, known=dict.fromkeys(SCHEMA, Known.at("at")))
