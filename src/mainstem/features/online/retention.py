"""Old and new events of a key put together: in their total order, none twice; and which of them are kept.

Events of different usable times have nothing to do with each other here, for the order and doubles are among those of
one time. So events can be put together stretch by stretch; a deletion belongs to the stretch of the row it names.
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
    """The columns of all events in order. New ones that are among the old, by their `_seq`, are left out.

    New ones, none of them twice, that have a `_gone` are none: each takes back the row of the same event that landed
    last before it, if nothing has yet.
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
    """The rows, of those in order, that a query at `horizon` or later may see: a slice or an array of indices.

    Of a latest view those that a later row has superseded are not, unless that one may be taken back.
    """
    if view.retracts:
        gone = columns[GONE]
        return np.flatnonzero((gone == NULL_INT) | (gone >= horizon))
    if view.windowed:
        return slice(0, None)
    settled = np.flatnonzero(visible(view, columns) < horizon)
    return slice(int(settled[-1]) if len(settled) else 0, None)


def visible(view: CompiledView, columns: Columns) -> Array:
    """From when on queries see each event."""
    found: Array = np.maximum(columns["_u"], columns[ARRIVED]) if view.arrives else columns["_u"]
    return found


def in_order(view: CompiledView, columns: Mapping[str, Any], key: Array | None = None) -> Array:
    """The total order, of each `key` for itself: by position, and what is still tied in a latest view by its values."""
    u = columns["_u"]
    if key is None and bool((u[1:] > u[:-1]).all()):
        return np.arange(len(u))
    tied = not view.windowed and not (view.sequenced and bool((columns[SEQ] >= 0).all()))
    names = [*view.position, *(view.arguments if tied else ())]
    first = () if key is None else (key,)
    return np.lexsort([*(_sortable(columns[name]) for name in reversed(names)), *first])


def taken(columns: Mapping[str, Any], rows: Any) -> dict[str, Any]:
    """Some rows of the columns."""
    return {name: column[rows] for name, column in columns.items()}


def _among(new: Mapping[str, Any], known: Mapping[str, Any]) -> Array:
    """Which of the new events are among the known ones; without `_seq` none is."""
    found = np.zeros(len(new["_u"]), dtype=bool)
    if len(known["_u"]):
        seen = set(zip(known["_u"].tolist(), known[SEQ].tolist(), strict=True))
        for row in np.flatnonzero((new["_u"] <= known["_u"][-1]) & (new[SEQ] >= 0)):
            found[row] = (int(new["_u"][row]), int(new[SEQ][row])) in seen
    return found


def _without(view: CompiledView, columns: dict[str, Any], deletions: Mapping[str, Any]) -> dict[str, Any]:
    """The events with `_gone` set where one of the deletions, in the order of landing, takes them back."""
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
    """Numbers whose order is the column's, nulls first."""
    if column.dtype == object:
        ranks = {text: rank for rank, text in enumerate(sorted({v for v in column if v is not None}))}
        return np.array([ranks.get(v, -1) for v in column], dtype=np.int64)
    return np.where(np.isnan(column), -np.inf, column) if column.dtype.kind == "f" else column
