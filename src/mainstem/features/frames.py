"""The events of a window as an engine sees them: the words of `Events`, spoken in Ibis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ibis

from mainstem.features.columns import Columns
from mainstem.features.view import CompiledView, Feature


class Rows(Columns):
    """The rows of `table` for one feature: all that are before each within the window function `frame`, or, without
    one, those of a group in a GROUP BY. `doubts` collects conditions under which a result has lost digits.
    """

    def __init__(self, table: ibis.Table, feature: Feature, view: CompiledView, frame: Any = None) -> None:
        self._table, self._feature, self._view, self._frame = table, feature, view, frame
        self.doubts: list[Any] = []

    def _over(self, reduction: Any) -> Any:
        return reduction if self._frame is None else reduction.over(self._frame)

    def _same(self, column: Any) -> Any:
        """A column that is the same in all rows."""
        return column.max() if self._frame is None else column

    def _present(self, value: Any) -> Any:
        return self.x.notnull().ifelse(value, ibis.null(value.type()))

    @property
    def x(self) -> Any:
        return self._table[self._feature.argument or "_u"]

    @property
    def reference(self) -> Any:
        return self._same(self._table[_reference(self._feature)])

    @property
    def deviation(self) -> Any:
        return (self.x - self._table[_reference(self._feature)]).cast("float64")

    @property
    def origin(self) -> Any:
        return self._same(self._table[_origin(self._feature)])

    @property
    def age(self) -> Any:
        return self._present((self._table[_origin(self._feature)] - self._table["_u"]).cast("float64"))

    def count(self) -> Any:
        return self._over(self.x.count())

    def sum(self, of: Any) -> Any:
        return self._over(of.sum()).fill_null(0)

    def min(self) -> Any:
        return self._over(self.x.min())

    def max(self) -> Any:
        return self._over(self.x.max())

    def oldest(self) -> Any:
        return self._over(self._present(self._table["_u"]).min())

    def newest(self) -> Any:
        return self._over(self._present(self._table["_u"]).max())

    def first(self) -> Any:
        return self._over(self._positions().min())

    def last(self) -> Any:
        return self._over(self._positions().max())

    def lowest(self) -> Any:
        return self._over(self._positions(by=self._table[self._feature.by]).min())

    def highest(self) -> Any:
        return self._over(self._positions(by=self._table[self._feature.by]).max())

    def _positions(self, **before: Any) -> Any:
        order = {name.removeprefix("_"): self._table[name] for name in self._view.position}
        return self._present(ibis.struct({**before, **order, "value": self.x}))

    def sorted(self) -> Any:
        return self.x.collect().sort()

    def unique(self) -> Any:
        return self.x.collect(distinct=True).sort()

    def earliest(self, k: int) -> Any:
        return self.head(self._positions().collect().sort(), k)

    def latest(self, k: int) -> Any:
        return self.tail(self._positions().collect().sort(), k)

    def doubt(self, condition: Any) -> None:
        self.doubts.append(condition)


def with_references(table: ibis.Table, features: Iterable[Feature], group: list[str]) -> ibis.Table:
    """`table` with what aggregations measure from where they ask for it, the same for all of a group: as reference
    the mean of the argument, as origin the instant of the newest event that has a value.
    """
    frame = ibis.window(group_by=group)
    found: dict[str, Any] = {}
    for feature in features:
        x = table[feature.argument or "_u"]
        if "reference" in feature.kind.asks:
            found[_reference(feature)] = _mean(x, frame)
        if "origin" in feature.kind.asks:
            found[_origin(feature)] = table["_u"].max(where=x.notnull()).over(frame)
    return table.mutate(**found)


def _reference(feature: Feature) -> str:
    return f"_reference{feature.argument}"


def _origin(feature: Feature) -> str:
    return f"_origin{feature.argument}"


def _mean(x: Any, frame: Any) -> Any:
    if x.type().is_integer():
        return x.mean().over(frame).round().cast("int64").fill_null(0)
    mean = x.mean(where=~x.isinf()).over(frame).fill_null(0.0)
    return mean.isinf().ifelse(0.0, mean)
