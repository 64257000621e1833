"""From rows of a source as they come in to events of a view in their normal form, by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

from mainstem.features.instants import ALWAYS
from mainstem.features.online.packing import encode_key
from mainstem.features.values import NULL_INT, SMALLEST
from mainstem.features.views.view import CompiledView


class Grouped(NamedTuple):
    """Events by encoded key, as columns of the view's layout; their number and their newest usable time."""

    columns: dict[bytes, dict[str, list[Any]]]
    total: int
    watermark: int


def by_key(view: CompiledView, rows: Mapping[str, Sequence[Any]]) -> Grouped:
    """Rows as columns (instants in µs, `_seq` and `_arrived` beside them) as events by encoded key.

    Rows without a key, or whose time has not come, are left out. One that was deleted comes with the time of that as
    `_gone`: it takes back an event of the state.
    """
    events = _normal(view, rows)
    found: dict[bytes, dict[str, list[Any]]] = {}
    total, watermark = 0, ALWAYS
    for key, event in zip(_keys(view, rows), zip(*events.values(), strict=True), strict=False):
        u = event[0]
        if u is None or None in key:
            continue
        columns = found.setdefault(encode_key(key), {name: [] for name in events})
        for column, value in zip(columns.values(), event, strict=True):
            column.append(value)
        total += 1
        # An event that says it is of the future must not push the past out of the state.
        watermark = max(watermark, min(u, event[1]) if view.arrives else u)
    return Grouped(found, total, watermark)


def _keys(view: CompiledView, rows: Mapping[str, Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    return zip(*(rows[column] for column in view.key), strict=True) if view.key else repeat(())


def _normal(view: CompiledView, rows: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    size = len(next(iter(rows.values())))
    u = usable(view, rows)
    columns: dict[str, list[Any]] = {"_u": u}
    if view.arrives:
        came = rows.get("_arrived") or [None] * size
        columns["_arrived"] = [at if a is None else a for a, at in zip(came, u, strict=True)]
    if view.retracts:
        deleted = rows.get("_deleted") or [False] * size
        columns["_gone"] = [at if back else None for at, back in zip(columns["_arrived"], deleted, strict=True)]
    if view.order is not None:
        smallest = SMALLEST[view.order]
        columns["_order"] = [smallest if v is None or v != v else v for v in rows[str(view.order_by)]]
    if view.sequenced:
        columns["_seq"] = [-1 if seq is None else seq for seq in rows.get("_seq") or [None] * size]
    arguments = view.row_function.batch({name: list(rows[name]) for name in view.inputs})
    return columns | {name: [_plain(value) for value in values] for name, values in arguments.items()}


def usable(view: CompiledView, rows: Mapping[str, Sequence[Any]]) -> list[int | None]:
    """When each row became usable; None for never."""
    moments = sorted(view.known.moments)
    if not moments:
        return [ALWAYS] * len(next(iter(rows.values())))
    shifted = [[None if at is None else at + m.offset for at in rows[m.column]] for m in moments]
    if len(shifted) == 1:
        return shifted[0]
    return [None if None in instants else max(instants) for instants in zip(*shifted, strict=True)]


def _plain(value: Any) -> Any:
    """NaN is null, and so is the smallest int64."""
    return None if value != value or value == NULL_INT else value
