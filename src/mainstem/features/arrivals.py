"""From rows of a source as they come in to events of a view in their normal form, by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mainstem.features.instants import ALWAYS
from mainstem.features.packing import encode_key
from mainstem.features.view import NULL_INT, SMALLEST, CompiledView


class Grouped(NamedTuple):
    """Events by encoded key, as columns of the view's layout; their number and their newest usable time."""

    columns: dict[bytes, dict[str, list[Any]]]
    total: int
    watermark: int


class Arrivals:
    """The normal form of a view's events, for rows that come in batches of a few; see `view` for its columns."""

    def __init__(self, view: CompiledView) -> None:
        self._view = view

    def by_key(self, rows: Mapping[str, Sequence[Any]]) -> Grouped:
        """Rows as columns (instants in µs, `_seq` and `_arrived` beside them) → events by encoded key."""
        view = self._view
        normal = self._normal(rows)
        names = [*normal]
        found: dict[bytes, dict[str, list[Any]]] = {}
        count, watermark = 0, ALWAYS
        keys = list(zip(*(rows[column] for column in view.key), strict=True))
        for key, event in zip(keys, zip(*normal.values(), strict=True), strict=True):
            if event[0] is None or None in key:
                continue
            columns = found.setdefault(encode_key(key), {name: [] for name in names})
            for name, value in zip(names, event, strict=True):
                columns[name].append(value)
            count += 1
            came = event[1] if view.arrives else event[0]
            watermark = max(watermark, min(event[0], came))
        return Grouped(found, count, watermark)

    def _normal(self, rows: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        view = self._view
        size = len(rows[next(iter(view.key))])
        u = [self._usable(instants) for instants in zip(*self._moments(rows, size), strict=True)]
        columns: dict[str, list[Any]] = {"_u": u}
        if view.arrives:
            came = rows.get("_arrived") or [None] * size
            columns["_arrived"] = [at if a is None else a for a, at in zip(came, u, strict=True)]
        if view.order is not None:
            smallest = SMALLEST[view.order]
            columns["_order"] = [smallest if v is None or v != v else v for v in rows[str(view.order_by)]]
        if view.sequenced:
            columns["_seq"] = [-1 if seq is None else seq for seq in rows.get("_seq") or [None] * size]
        arguments = view.row_function.batch({name: list(rows[name]) for name in view.inputs})
        return columns | {name: _plain(values) for name, values in arguments.items()}

    def _moments(self, rows: Mapping[str, Sequence[Any]], size: int) -> list[list[int | None]]:
        moments = sorted(self._view.known.moments)
        if not moments:
            return [[ALWAYS] * size]
        return [[None if at is None else at + m.offset for at in rows[m.column]] for m in moments]

    @staticmethod
    def _usable(instants: tuple[int | None, ...]) -> int | None:
        return None if None in instants else max(instants)  # type: ignore[type-var]


def _plain(values: list[Any]) -> list[Any]:
    """NaN is null, and so is the smallest int64."""
    return [None if v is None or v != v or (v == NULL_INT and isinstance(v, int)) else v for v in values]
