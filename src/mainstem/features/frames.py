"""The events of a window as an engine sees them: the words of `Events`, spoken in Ibis."""

from __future__ import annotations

from typing import Any

import ibis

from mainstem.features.calculus import Columns
from mainstem.features.view import CompiledView, Feature

_DIGITS = 1e-4
"""A difference below this share of its minuend has lost 4 of 16 digits, too many to promise 9 after the rest."""


class Rows(Columns):
    """The rows of `table` for one feature: all that are before each within the window function `frame`, or, without
    one, those of a group in a GROUP BY. `doubts` collects conditions under which a result has lost digits.
    """

    def __init__(self, table: ibis.Table, feature: Feature, view: CompiledView, frame: Any = None) -> None:
        self._table, self._feature, self._view, self._frame = table, feature, view, frame
        self.doubts: list[Any] = []

    def _over(self, reduction: Any) -> Any:
        return reduction if self._frame is None else reduction.over(self._frame)

    @property
    def x(self) -> Any:
        return self._table[self._feature.argument or "_u"]

    @property
    def reference(self) -> Any:
        column = self._table[reference_name(self._feature)]
        return column.max() if self._frame is None else column

    @property
    def deviation(self) -> Any:
        return self.x - self._table[reference_name(self._feature)]

    def count(self) -> Any:
        return self._over(self.x.count())

    def sum(self, of: Any) -> Any:
        return self._over(of.sum()).fill_null(0)

    def min(self) -> Any:
        return self._over(self.x.min())

    def max(self) -> Any:
        return self._over(self.x.max())

    def last(self) -> Any:
        order = {name.removeprefix("_"): self._table[name] for name in self._view.position}
        position = ibis.struct({**order, "value": self.x})
        return self._over(self.x.notnull().ifelse(position, ibis.null(position.type())).max())

    def difference(self, a: Any, b: Any, zero: Any) -> Any:
        zero = zero.fill_null(True)
        self.doubts.append(~zero & (a - b < a * _DIGITS))
        return zero.ifelse(0.0, ibis.greatest(a - b, 0.0))


def reference_name(feature: Feature) -> str:
    """The column that holds the reference of a feature's argument."""
    return f"_reference{feature.argument}"


def with_references(table: ibis.Table, features: tuple[Feature, ...], group: list[str]) -> ibis.Table:
    """`table` with a value near most of the argument's, for each aggregation that is `centred`: the group's mean."""
    frame = ibis.window(group_by=group)
    centred = {reference_name(f): f for f in features if f.aggregation is not None and f.aggregation.centred}
    return table.mutate(**{name: _mean(table[str(f.argument)], frame) for name, f in centred.items()})


def _mean(x: Any, frame: Any) -> Any:
    if x.type().is_integer():
        return x.mean().over(frame).round().cast("int64").fill_null(0)
    mean = x.mean(where=~x.isinf()).over(frame).fill_null(0.0)
    return mean.isinf().ifelse(0.0, mean)
