"""Merge old and new events of a key in their total order without duplicates, and select those to keep.

Order and duplicates concern only events of the same usable time. Therefore events can be merged range by range. A
deletion belongs to the range of the row that it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mainstem.features.online.packing import Array, Events, to_objects
from mainstem.features.values import NULL_INT
from mainstem.features.views.view import CompiledView
from mainstem.nodes.hidden import ARRIVED, GONE, SEQ

Columns = Mapping[str, Any] | Events


def merged(view: CompiledView, old: Events, new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of all events in order. New events that are among the old ones, by `_seq`, are left out.

    New events must be unique. Those with a `_gone` are deletions: each retracts the last unretracted row of the same
    event that arrived before it.
    """
    deletions = None
    if view.retracts:
        deletions = taken(new, np.flatnonzero(new[GONE] != NULL_INT))
        new = taken(new, np.flatnonzero(new[GONE] == NULL_INT))
    known = {name: to_objects(c) if isinstance(c := old[name], list) else c for name in new}
    new = taken(new, np.flatnonzero(~_among(new, known))) if view.sequenced else new
    columns = {name: np.concatenate([known[name], new[name]]) for name in known}
    columns = taken(columns, in_order(view, columns))
    return columns if deletions is None else _without(view, columns, deletions)


def kept(view: CompiledView, columns: Columns, horizon: int) -> Any:
    """Return those ordered rows that a query at `horizon` or later may see, as a slice or an array of indices.

    In a latest view, rows that a later row supersedes are dropped, unless that row can be retracted.
    """
    if view.retracts:
        gone = columns[GONE]
        return np.flatnonzero((gone == NULL_INT) | (gone >= horizon))
    if view.windowed:
        return slice(0, None)
    settled = np.flatnonzero(visible(view, columns) < horizon)
    return slice(int(settled[-1]) if len(settled) else 0, None)


def visible(view: CompiledView, columns: Columns) -> Array:
    """Return from when on queries see each event."""
    found: Array = np.maximum(columns["_u"], columns[ARRIVED]) if view.arrives else columns["_u"]
    return found


def in_order(view: CompiledView, columns: Mapping[str, Any], key: Array | None = None) -> Array:
    """Return the total order within each `key`: by position; in a latest view, remaining ties are ordered by value."""
    u = columns["_u"]
    if key is None and bool((u[1:] > u[:-1]).all()):
        return np.arange(len(u))
    tied = not view.windowed and not (view.sequenced and bool((columns[SEQ] >= 0).all()))
    names = [*view.position, *(view.arguments if tied else ())]
    first = () if key is None else (key,)
    return np.lexsort([*(_sortable(columns[name]) for name in reversed(names)), *first])


def taken(columns: Mapping[str, Any], rows: Any) -> dict[str, Any]:
    """Return some rows of the columns."""
    return {name: column[rows] for name, column in columns.items()}


def _among(new: Mapping[str, Any], known: Mapping[str, Any]) -> Array:
    """Return which new events are among the known ones. Without `_seq`, none are."""
    found = np.zeros(len(new["_u"]), dtype=bool)
    if len(known["_u"]):
        seen = set(zip(known["_u"].tolist(), known[SEQ].tolist(), strict=True))
        for row in np.flatnonzero((new["_u"] <= known["_u"][-1]) & (new[SEQ] >= 0)):
            found[row] = (int(new["_u"][row]), int(new[SEQ][row])) in seen
    return found


def _without(view: CompiledView, columns: dict[str, Any], deletions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the events with `_gone` set where one of the deletions, in order of arrival, retracts them."""
    gone = columns[GONE] = columns[GONE].copy()
    for row in np.argsort(deletions[SEQ], kind="stable"):
        before = columns[SEQ] < deletions[SEQ][row]
        for name in view.identity:
            before &= _same(columns[name], deletions[name][row])
        last = int(np.where(before, columns[SEQ], NULL_INT).argmax()) if before.any() else None
        if last is not None and gone[last] == NULL_INT:
            gone[last] = deletions[GONE][row]
    return columns


def _same(column: Array, value: Any) -> Array:
    found: Array = column == value
    return np.isnan(column) if column.dtype.kind == "f" and value != value else found


def _sortable(column: Array) -> Array:
    """Return numbers in the order of the column, nulls first."""
    if column.dtype == object:
        ranks = {text: rank for rank, text in enumerate(sorted({v for v in column if v is not None}))}
        return np.array([ranks.get(v, -1) for v in column], dtype=np.int64)
    return np.where(np.isnan(column), -np.inf, column) if column.dtype.kind == "f" else column
