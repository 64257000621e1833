"""Verbs that are fitted: typical values for missing ones, outliers, and scales."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mainstem.errors import DefinitionError
from mainstem.graph.traces import Traces
from mainstem.nodes.verbs.base import Invalid
from mainstem.nodes.verbs.fitted import FittedVerb
from mainstem.nodes.verbs.values import check_new, missing

if TYPE_CHECKING:
    import ibis

Window = tuple[str | None, str] | None

_MAD = 1.4826
"""Makes the median absolute deviation comparable with a standard deviation (Rousseeuw and Croux, 1993)."""


class ImputeFitted(FittedVerb, frozen=True, tag="impute_fitted"):
    """Replace null and NaN by the mean, the median or the mode (the most frequent value; of equally frequent ones the
    smallest) of the column. Other values stay unchanged. Integers are rounded. Needs fitted statistics.

    `by` fits each group for itself, `fit` is the window of the fit. `indicator` names a new boolean column: whether the
    value was missing.
    """

    using: Literal["mean", "median", "mode"]
    by: tuple[str, ...] = ()
    fit: Window = None
    indicator: str = ""

    @property
    def takes(self) -> str:  # type: ignore[override]
        return "a text, a number, a truth value, a date or an instant" if self.using == "mode" else "a number"

    def accepts(self, type: Any) -> bool:
        other = type.is_string() or type.is_boolean() or type.is_temporal()
        return bool(type.is_numeric() or (self.using == "mode" and other))

    @property
    def changed(self) -> tuple[str, ...]:
        return (self.column, self.indicator) if self.indicator else (self.column,)

    def check(self, table: ibis.Table, place: str | None = None) -> None:
        super().check(table, place)
        check_new(self.indicator, table, place)

    @property
    def statistics(self) -> tuple[str, ...]:
        return (self.using,)

    @property
    def statistic_type(self) -> str:
        return "string" if self.using == "mode" else "float64"

    def measure(self, rows: ibis.Table, groups: Mapping[str, Any]) -> ibis.Table:
        if self.using == "mode":
            return _mode(rows, groups)
        number = rows["_value"].cast("float64")
        return rows.aggregate(
            by=groups, **{self.using: number.mean() if self.using == "mean" else number.median()}, rows=number.count()
        )

    def results(self, table: ibis.Table) -> dict[str, ibis.Value]:
        column = table[self.column]
        typical = self.statistic(table, self.using)
        typical = typical.round() if column.type().is_integer() and self.using != "mode" else typical
        told = {self.indicator: missing(column)} if self.indicator else {}
        return {self.column: missing(column).ifelse(typical.cast(column.type()), column), **told}

    def traced(self, traces: Traces) -> Traces:
        own = {self.indicator: traces[self.column]} if self.indicator else {}
        return {**super().traced(traces), **own}

    def describe(self) -> str:
        return f"{self.column} is the {self.using}{self._of} where it is missing"


class Outliers(FittedVerb, frozen=True, tag="outliers"):
    """Find numbers outside bounds: `iqr` (quartiles ∓ `factor` × their distance, 1.5), `z` (mean ∓ `factor` × standard
    deviation, 3), `mad` (median ∓ `factor` × scaled median absolute deviation, 3.5) or `quantiles` (`low` and `high`).
    Null and NaN are no outliers and stay unchanged. Needs fitted statistics.

    `action` says what becomes of them: `clip` to the bounds, `null`, `quarantine` the row, or `flag` them in the new
    column `into`. `by` fits each group for itself, `fit` is the window of the fit.
    """

    method: Literal["iqr", "z", "mad", "quantiles"] = "iqr"
    action: Literal["clip", "null", "flag", "quarantine"] = "null"
    factor: float | None = None
    low: float = 0.01
    high: float = 0.99
    into: str = ""
    by: tuple[str, ...] = ()
    fit: Window = None

    takes: ClassVar[str] = "a number"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.factor is not None and (self.method == "quantiles" or not self.factor > 0):
            raise DefinitionError(
                "`factor` of 'outliers' must be positive, and is not for quantiles", got=str(self.factor)
            )
        if not 0 <= self.low < self.high <= 1:
            raise DefinitionError("'outliers' needs 0 <= low < high <= 1", got=f"low={self.low:g}, high={self.high:g}")
        if bool(self.into) != (self.action == "flag"):
            raise DefinitionError(
                "`into` of 'outliers' belongs to action=\"flag\"", got=repr(self.into), expected="a name for the flag"
            )

    def accepts(self, type: Any) -> bool:
        return bool(type.is_numeric())

    @property
    def on_invalid(self) -> Invalid | None:
        return "quarantine" if self.action == "quarantine" else None

    @property
    def changed(self) -> tuple[str, ...]:
        return (self.into or self.column,)

    def check(self, table: ibis.Table, place: str | None = None) -> None:
        super().check(table, place)
        check_new(self.into, table, place)

    @property
    def statistics(self) -> tuple[str, ...]:
        return ("low", "high")

    def measure(self, rows: ibis.Table, groups: Mapping[str, Any]) -> ibis.Table:
        import ibis

        if self.method == "mad":
            over = ibis.window(group_by=list(groups.values()))
            number = rows["_value"].cast("float64")
            centred = rows.mutate(_away=(number - number.median().over(over)).abs())
            middle, spread = centred["_value"].cast("float64").median(), centred["_away"].median() * _MAD
            return self._bounds(centred, _on(centred, groups), middle, middle, spread * (self.factor or 3.5))
        number = rows["_value"].cast("float64")
        if self.method == "z":
            middle = number.mean()
            return self._bounds(rows, groups, middle, middle, number.std(how="pop") * (self.factor or 3.0))
        if self.method == "quantiles":
            return self._bounds(rows, groups, number.quantile(self.low), number.quantile(self.high), 0.0)
        first, third = number.quantile(0.25), number.quantile(0.75)
        return self._bounds(rows, groups, first, third, (third - first) * (self.factor or 1.5))

    def _bounds(self, rows: ibis.Table, groups: Mapping[str, Any], low: Any, high: Any, more: Any) -> ibis.Table:
        return rows.aggregate(by=groups, low=low - more, high=high + more, rows=rows["_value"].count())

    def results(self, table: ibis.Table) -> dict[str, ibis.Value]:
        import ibis

        column = table[self.column]
        low, high = self.statistic(table, "low"), self.statistic(table, "high")
        outside = ((column < low) | (column > high)).fill_null(False) & ~missing(column)
        if self.action == "flag":
            return {self.into: outside}
        if self.action == "clip":
            whole = column.type().is_integer()
            lowest, highest = (low.ceil(), high.floor()) if whole else (low, high)
            cases = ((outside & (column < low), lowest), (outside & (column > high), highest))
            clipped = ibis.cases(*((where, bound.cast(column.type())) for where, bound in cases), else_=column)
            return {self.column: clipped.cast(column.type())}
        return {self.column: outside.ifelse(ibis.null(column.type()), column)}

    def describe(self) -> str:
        bounds = f"{self.low:g} to {self.high:g}" if self.method == "quantiles" else f"{self.factor or ''}".strip()
        method = f"{self.method} {bounds}".strip()
        return f"{self.column}: {self.action} outliers ({method}){self._of}"


class Scale(FittedVerb, frozen=True, tag="scale"):
    """Scale numbers: `min_max` to the range from 0 to 1, `z` to mean 0 and standard deviation 1, `robust` to median 0
    and distance of the quartiles 1. Null stays null, and NaN becomes null. The result is a float; it is 0 where all
    fitted values are equal. Values outside the fitted range leave the range from 0 to 1. Needs fitted statistics.

    `by` fits each group for itself, `fit` is the window of the fit.
    """

    method: Literal["min_max", "z", "robust"]
    by: tuple[str, ...] = ()
    fit: Window = None

    takes: ClassVar[str] = "a number"
    keeps_type: ClassVar[bool] = False

    def accepts(self, type: Any) -> bool:
        return bool(type.is_numeric())

    @property
    def statistics(self) -> tuple[str, ...]:
        return ("centre", "spread")

    def measure(self, rows: ibis.Table, groups: Mapping[str, Any]) -> ibis.Table:
        number = rows["_value"].cast("float64")
        centre, spread = {
            "min_max": lambda: (number.min(), number.max() - number.min()),
            "z": lambda: (number.mean(), number.std(how="pop")),
            "robust": lambda: (number.median(), number.quantile(0.75) - number.quantile(0.25)),
        }[self.method]()
        return rows.aggregate(by=groups, centre=centre, spread=spread, rows=number.count())

    def results(self, table: ibis.Table) -> dict[str, ibis.Value]:
        import ibis

        column = table[self.column]
        number = missing(column).ifelse(ibis.null("float64"), column.cast("float64"))
        centre, spread = self.statistic(table, "centre"), self.statistic(table, "spread")
        scaled = (spread == 0).ifelse(number * 0.0, (number - centre) / spread.nullif(0.0))
        return {self.column: scaled}

    def describe(self) -> str:
        return f"{self.column} scaled ({self.method}){self._of}"


def _on(rows: ibis.Table, groups: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same groups over other rows: each is a column of the same name."""
    return {name: rows[name] for name in groups}


def _mode(rows: ibis.Table, groups: Mapping[str, Any]) -> ibis.Table:
    import ibis

    counted = rows.aggregate(by={**groups, "_value": rows["_value"]}, _times=rows.count())
    keys = [counted[name] for name in groups]
    order = [counted["_times"].desc(), counted["_value"].asc()]
    ranked = counted.mutate(
        _rank=ibis.row_number().over(ibis.window(group_by=keys, order_by=order)),
        rows=counted["_times"].sum().over(ibis.window(group_by=keys)),
    )
    best = ranked.filter(ranked["_rank"] == 0)
    return best.select(*groups, mode=best["_value"].cast("string"), rows=best["rows"])
