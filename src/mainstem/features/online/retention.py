"""Old and new events of a key put together: in their total order, none twice; and which of them are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mainstem.features.online.packing import Array, Events, to_fixed
from mainstem.features.values import NULL_INT
from mainstem.features.views.view import CompiledView

Columns = Mapping[str, Any]


def merged(view: CompiledView, old: Events | None, new: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The columns of all events in order. New ones that are among the old, by their `_seq`, are left out.

    New ones with a `_gone` are none: each takes back the event that is like it, the one that landed last of several.
    """
    kinds = {**dict.fromkeys(("_u", "_arrived", "_gone", "_seq"), "int64"), "_order": view.order, **view.arguments}
    fresh = {name: _column(values, str(kinds[name])) for name, values in new.items()}
    known = None if old is None else {name: _column(old[name], str(kinds[name])) for name in new}
    deletions = None
    if view.retracts:
        deletions = _taken(fresh, np.flatnonzero(fresh["_gone"] != NULL_INT))
        fresh = _taken(fresh, np.flatnonzero(fresh["_gone"] == NULL_INT))
    if view.sequenced:
        fresh = _taken(fresh, _unknown(fresh, known))
    columns = fresh if known is None else {n: np.concatenate([known[n], fresh[n]]) for n in fresh}
    columns = _taken(columns, _order(view, columns))
    return columns if deletions is None else _without(view, columns, deletions)


def kept(view: CompiledView, columns: Columns, horizon: int) -> Any:
    """The rows, of those in order, that a query at `horizon` or later may see: a slice or an array of indices.

    Of a latest view those that a later row has superseded are not, unless that one may be taken back.
    """
    if view.retracts:
        gone = columns["_gone"]
        return np.flatnonzero((gone == NULL_INT) | (gone >= horizon))
    if view.windowed:
        return slice(0, None)
    u = columns["_u"]
    visible = np.maximum(u, columns["_arrived"]) if view.arrives else u
    settled = np.flatnonzero(visible < horizon)
    return slice(int(settled[-1]) if len(settled) else 0, None)


def _without(view: CompiledView, columns: dict[str, Any], deletions: Columns) -> dict[str, Any]:
    """The events with `_gone` set where one of the deletions, in the order of landing, takes them back."""
    alike = [name for name in columns if name not in ("_arrived", "_gone", "_seq") and name not in view.brought]
    gone = columns["_gone"] = columns["_gone"].copy()
    for row in np.argsort(deletions["_seq"], kind="stable"):
        same = (gone == NULL_INT) & (columns["_seq"] < deletions["_seq"][row])
        for name in alike:
            same &= _same(columns[name], deletions[name][row])
        if same.any():
            landed = np.where(same, columns["_seq"], NULL_INT)
            gone[int(landed.argmax())] = deletions["_gone"][row]
    return columns


def _same(column: Array, value: Any) -> Array:
    found: Array = column == value
    return np.isnan(column) if column.dtype.kind == "f" and value != value else found


def _column(values: Any, kind: str) -> Array:
    if kind != "string":
        return to_fixed(values, kind)
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _unknown(fresh: Columns, known: Columns | None) -> Array:
    """The indices of new events that are neither in the state nor twice in the batch; without `_seq` all are new."""
    pairs = list(zip(fresh["_u"].tolist(), fresh["_seq"].tolist(), strict=True))
    seen: set[tuple[int, int]] = set()
    if known is not None and len(known["_u"]) and pairs and min(pairs)[0] <= known["_u"][-1]:
        seen = set(zip(known["_u"].tolist(), known["_seq"].tolist(), strict=True))
    chosen = []
    for index, pair in enumerate(pairs):
        if pair[1] < 0 or pair not in seen:
            chosen.append(index)
            seen.add(pair)
    return np.array(chosen, dtype=np.int64)


def _order(view: CompiledView, columns: Columns) -> Array:
    """The total order: by position, and for rows of a latest view what is still tied by their values."""
    names = [*view.position, *(() if view.windowed else view.arguments)]
    u = columns["_u"]
    if len(u) == 1 or bool((u[1:] > u[:-1]).all()):
        return np.arange(len(u))
    return np.lexsort([_sortable(columns[name]) for name in reversed(names)])


def _sortable(column: Array) -> Array:
    """Numbers whose order is the column's, nulls first."""
    if column.dtype == object:
        ranks = {text: rank for rank, text in enumerate(sorted({v for v in column if v is not None}))}
        return np.array([ranks.get(v, -1) for v in column])
    return np.where(np.isnan(column), -np.inf, column) if column.dtype.kind == "f" else column


def _taken(columns: Columns, indices: Array) -> dict[str, Any]:
    return {name: column[indices] for name, column in columns.items()}
