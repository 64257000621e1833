"""The events of a window in an engine: the reductions of `Events` in Ibis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ibis

from mainstem.features.offline.columns import Columns
from mainstem.features.offline.joins import joined
from mainstem.features.views.view import CompiledView, Feature
from mainstem.graph.named import named


class Rows(Columns):
    """The rows of a group of `table` for one feature, as reductions: sum, count, min and max (also of structs) and
    collect.

    `doubts` gathers conditions under which a result has lost digits.
    """

    def __init__(self, table: ibis.Table, feature: Feature, view: CompiledView) -> None:
        self._table, self._feature, self._view = table, feature, view
        self.doubts: list[Any] = []

    def _present(self, value: Any) -> Any:
        return self.x.notnull().ifelse(value, ibis.null(value.type()))

    @property
    def x(self) -> Any:
        return self._table[self._feature.argument or "_u"]

    @property
    def reference(self) -> Any:
        return self._table[_reference(self._feature)].max()

    @property
    def deviation(self) -> Any:
        return (self.x - self._table[_reference(self._feature)]).cast("float64")

    @property
    def origin(self) -> Any:
        return self._table[_origin(self._feature)].max()

    @property
    def age(self) -> Any:
        return self._present((self._table[_origin(self._feature)] - self._table["_u"]).cast("float64"))

    def count(self) -> Any:
        return self.x.count()

    def sum(self, of: Any) -> Any:
        return of.sum().fill_null(0)

    def min(self) -> Any:
        return self.x.min()

    def max(self) -> Any:
        return self.x.max()

    def oldest(self) -> Any:
        return self._present(self._table["_u"]).min()

    def newest(self) -> Any:
        return self._present(self._table["_u"]).max()

    def first(self) -> Any:
        return self._positions().min()

    def last(self) -> Any:
        return self._positions().max()

    def lowest(self) -> Any:
        return self._positions(by=self._table[self._feature.by]).min()

    def highest(self) -> Any:
        return self._positions(by=self._table[self._feature.by]).max()

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
    """Return `table` with the references that aggregations need, the same for all rows of a group."""
    found = group_columns(table, features)
    return joined(table, table.group_by(group).aggregate(named(found)), group) if found else table


def group_columns(table: ibis.Table, features: Iterable[Feature]) -> dict[str, Any]:
    """Return the reductions for references and origins: the mean of the argument, and the newest instant
    with a value."""
    features = list(features)
    found = reference_columns(table, features)
    for feature in features:
        if "origin" in feature.kind.asks:
            found[_origin(feature)] = table["_u"].max(where=table[feature.argument or "_u"].notnull())
    return found


def with_origins(table: ibis.Table, features: Iterable[Feature], instant: Any) -> ibis.Table:
    """Return `table` with an instant as the origin of aggregations."""
    return table.mutate(*named({_origin(f): instant for f in features if "origin" in f.kind.asks}))


def reference_columns(table: ibis.Table, features: Iterable[Feature]) -> dict[str, Any]:
    """Return the references of aggregations as reductions: the mean of the argument."""
    return {_reference(f): _mean(table[f.argument or "_u"]) for f in features if "reference" in f.kind.asks}


def _reference(feature: Feature) -> str:
    return f"_reference{feature.argument}"


def _origin(feature: Feature) -> str:
    return f"_origin{feature.argument}"


def _mean(x: Any) -> Any:
    if x.type().is_integer():
        return x.mean().round().cast("int64").fill_null(0)
    mean = x.mean(where=~x.isinf()).fill_null(0.0)
    return mean.isinf().ifelse(0.0, mean)
