"""The partials of a view's features as columns of a query, and their conversion to features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import ibis
import ibis.expr.operations as ops

from mainstem.features.algebra import Partial
from mainstem.features.offline.columns import Columns
from mainstem.features.offline.events import Rows
from mainstem.features.offline.stages import exchanged, reductions, staged
from mainstem.features.offline.visibility import Visibility
from mainstem.features.views.view import CompiledView, Feature
from mainstem.features.windows import Span, Window, floor

CALCULUS = Columns()


class Lifted:
    """The partials of some features: the distinct reductions that they need, and the expressions over these."""

    def __init__(self, features: tuple[Feature, ...], view: CompiledView, rows: ibis.Table) -> None:
        self._parts: dict[str, Any] = {}
        self._names: dict[str, list[str]] = {}
        self._doubts: dict[str, Any] = {}
        for feature in features:
            events = Rows(rows, feature, view)
            parts = {f"{feature.name}_{i}": part.op() for i, part in enumerate(feature.kind.lift(events))}
            self._names[feature.name] = list(parts)
            self._parts |= parts
            self._doubts |= {f"{feature.name}_{i}": doubt.op() for i, doubt in enumerate(events.doubts)}
        self._reduced = reductions([*self._parts.values(), *self._doubts.values()])

    def reduced(self, side: str) -> dict[str, Any]:
        """Return the reductions over all rows."""
        return {f"{side}{place}": op.to_expr() for place, op in enumerate(self._reduced)}

    def shares(self) -> dict[str, Any]:
        """Return the terms of each row in the reductions."""
        return {f"_r{place}": _share(op) for place, op in enumerate(self._reduced)}

    def added(self, table: ibis.Table, side: str, where: Any = None) -> dict[str, Any]:
        """Return the reductions of a table that has terms, or reductions of parts."""
        return {f"{side}{i}": _ADD[type(op)](table[f"_r{i}"], where) for i, op in enumerate(self._reduced)}

    def partials(self, table: ibis.Table, side: str) -> dict[str, Partial]:
        """Return each feature's partial, in a table that has the reductions."""
        parts = exchanged(self._parts, self._exchange(table, side))
        return {feature: tuple(parts[name] for name in names) for feature, names in self._names.items()}

    def doubts(self, table: ibis.Table, side: str) -> list[Any]:
        """Return where digits were lost, in a table that has the reductions."""
        return list(exchanged(self._doubts, self._exchange(table, side)).values())

    def _exchange(self, table: ibis.Table, side: str) -> dict[Any, Any]:
        return {op: _found(op, table[f"{side}{place}"]).op() for place, op in enumerate(self._reduced)}


_ADD = {
    ops.Count: lambda shares, where: shares.sum(where=where),
    ops.Sum: lambda shares, where: shares.sum(where=where),
    ops.Min: lambda shares, where: shares.min(where=where),
    ops.Max: lambda shares, where: shares.max(where=where),
}
"""How reductions of parts are combined. All engines support these, and `Rows` needs no others."""


def _share(op: Any) -> Any:
    value = op.arg.to_expr()
    if isinstance(op, ops.Count):
        return value.notnull().cast("int64")
    return value.cast("int64") if isinstance(op, ops.Sum) and value.type().is_boolean() else value


def _found(op: Any, column: Any) -> Any:
    return column.fill_null(0) if isinstance(op, ops.Count) else column


@dataclass(frozen=True)
class Part(Visibility):
    """Features of a view over some windows that are computed in the same way.

    Windows are rows, not columns: queries and events are repeated for each window, with its number in `_window`, so a
    query for ten windows is no longer than for one. `features` are those of the first window.
    """

    windows: tuple[Window, ...]
    features: tuple[Feature, ...]

    @property
    def key(self) -> list[str]:
        return [*super().key, "_window"]

    @property
    def longest(self) -> int:
        """The reach of the longest window."""
        return max(window.reach for window in self.windows)

    def over(self, rows: ibis.Table) -> ibis.Table:
        """Return `rows` repeated for each window."""
        numbers = [ibis.literal(number, type="int8") for number in range(len(self.windows))]
        return rows.mutate(_window=ibis.array(numbers).unnest())

    def of(self, rows: ibis.Table, measure: Callable[[Window], float]) -> Any:
        """Return a property of each row's window."""
        return rows["_window"].cases(*enumerate(map(measure, self.windows)))

    def span(self, rows: ibis.Table) -> Span:
        """Return the span of each row's query."""
        step, size = (self.of(rows, measure) for measure in (lambda w: w.resolution, lambda w: w.size))
        return Span(floor(rows["_t"], step) - size, rows["_t"])

    def valued(self, table: ibis.Table, partials: Mapping[str, Partial], **more: Any) -> ibis.Table:
        """Return the features' values by query, and `more` columns."""
        span = self.span(table)
        values = {f.name: _exact(f, f.kind.finalize(CALCULUS, partials[f.name], span)) for f in self.features}
        return staged(table, self.key, {**more, **values})

    def by(self, way: type[_Way]) -> _Way:
        """Return the same features with another way of computation."""
        return way(self.view, self.arrived, self.windows, self.features)


_Way = TypeVar("_Way", bound=Part)


def _exact(feature: Feature, value: Any) -> Any:
    """Return a value in the feature's type, with null for NaN."""
    value = value.cast("int64" if feature.type.startswith("timestamp") else feature.type)
    return value.isnan().ifelse(ibis.null("float64"), value) if value.type().is_floating() else value
