"""Old and new events of a key put together: in their total order, none twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mainstem.features.packing import Array, Events, to_fixed
from mainstem.features.view import CompiledView

Columns = Mapping[str, Any]


def merged(view: CompiledView, old: Events | None, new: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The columns of all events in order. New ones that are among the old, by their `_seq`, are left out."""
    kinds = {**dict.fromkeys(("_u", "_arrived", "_seq"), "int64"), "_order": view.order, **view.arguments}
    fresh = {name: _column(values, str(kinds[name])) for name, values in new.items()}
    known = None if old is None else {name: _column(old[name], str(kinds[name])) for name in new}
    if view.sequenced:
        fresh = _taken(fresh, _unknown(fresh, known))
    columns = fresh if known is None else {n: np.concatenate([known[n], fresh[n]]) for n in fresh}
    return _taken(columns, _order(view, columns))


def first_kept(view: CompiledView, columns: Columns, horizon: int) -> int:
    """The index of the first row of a latest view, of those in order, that a query at `horizon` or later may see."""
    u = columns["_u"]
    visible = np.maximum(u, columns["_arrived"]) if view.arrives else u
    settled = np.flatnonzero(visible < horizon)
    return int(settled[-1]) if len(settled) else 0


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
    if known is not None and len(known["_u"]) and min(pairs)[0] <= known["_u"][-1]:
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
