"""Verbs for values of any type: canonical values, constants for missing values, casts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from mainstem.errors import DefinitionError
from mainstem.nodes.verbs.base import ColumnVerb, Invalid, TextVerb, holds, otherwise

if TYPE_CHECKING:
    import ibis

_INTEGER = r"^\s*[-+]?[0-9]+\s*$"


class MapValues(TextVerb, frozen=True, tag="map_values"):
    """Replace texts, given as (from, to) pairs or a mapping. Other texts and null stay unchanged. Needs no
    statistics."""

    values: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        if isinstance(self.values, Mapping):
            msgspec.structs.force_setattr(self, "values", tuple(self.values.items()))
        super().__post_init__()
        sources = [old for old, _ in self.values]
        if not sources or len(set(sources)) < len(sources):
            raise DefinitionError(
                f"the values of {self.column!r} must map each text once", got=", ".join(sources) or "no values"
            )

    def value(self, column: Any) -> ibis.Value:
        import ibis

        return ibis.cases(*((column == old, new) for old, new in self.values), else_=column)

    def describe(self) -> str:
        return f"{self.column}: " + ", ".join(f"{old!r} → {new!r}" for old, new in self.values)


class Impute(ColumnVerb, frozen=True, tag="impute"):
    """Replace null and NaN by a constant. Other values stay unchanged. Needs no statistics.

    `indicator` names a new boolean column: whether the value was missing.
    """

    constant: bool | float | int | str
    indicator: str = ""

    def accepts(self, type: Any) -> bool:
        if isinstance(self.constant, str):
            return bool(type.is_string())
        return bool(type.is_boolean()) if isinstance(self.constant, bool) else holds(type, self.constant)

    @property
    def takes(self) -> str:  # type: ignore[override]
        return f"a type that holds {self.constant!r}"

    @property
    def changed(self) -> tuple[str, ...]:
        return (self.column, self.indicator) if self.indicator else (self.column,)

    def check(self, table: ibis.Table, place: str | None = None) -> None:
        super().check(table, place)
        check_new(self.indicator, table, place)

    def value(self, column: Any) -> ibis.Value:
        import ibis

        return missing(column).ifelse(ibis.literal(self.constant).cast(column.type()), column)

    def results(self, table: ibis.Table) -> dict[str, ibis.Value]:
        told = {self.indicator: missing(table[self.column])} if self.indicator else {}
        return super().results(table) | told

    def describe(self) -> str:
        return f"{self.column} is {self.constant!r} where it is missing"


class Cast(ColumnVerb, frozen=True, tag="cast"):
    """Convert a column to another Ibis type. Null stays null. Needs no statistics.

    A value is `invalid` if the type cannot hold it: a text that is not a number, a number with a fraction for an
    integer type or more digits than a decimal has, an instant within a day for a date. No value is rounded, but for a
    float that becomes a shorter one.
    """

    to: str
    invalid: Invalid = "fail"

    keeps_type: ClassVar[bool] = False

    def __post_init__(self) -> None:
        import ibis

        super().__post_init__()
        try:
            ibis.dtype(self.to)
        except Exception as problem:  # ibis does not document what its parser raises
            raise DefinitionError(f"unknown type {self.to!r}", expected="an Ibis type, such as int64") from problem

    def value(self, column: Any) -> ibis.Value:
        import ibis

        to = ibis.dtype(self.to)
        changed: Any = column.try_cast(to)
        if to.is_integer() and column.type().is_string():
            return column.re_search(_INTEGER).ifelse(changed, ibis.null(to))
        if to.is_integer() and (column.type().is_floating() or column.type().is_decimal()):
            return (column % 1 == 0).ifelse(changed, ibis.null(to))
        same = self._is_same(column, changed)
        return changed if same is None else same.ifelse(changed, ibis.null(to))

    def _is_same(self, column: Any, changed: Any) -> Any:
        """Return whether a value says the same in the other type; None if it always does, or is only rounded to a
        shorter float."""
        own, to = column.type(), changed.type()
        if own.is_string():
            if to.is_date():
                return changed.cast("timestamp") == column.try_cast("timestamp")
            return column.re_search(_decimals(to.scale or 0)) if to.is_decimal() else None
        if (own.is_timestamp() and to.is_date()) or (own.is_integer() and to.is_floating()):
            return changed.try_cast(own) == column
        shortens = to.is_decimal() and (own.is_floating() or own.is_decimal())
        return changed.try_cast(own) == column if shortens or (own.is_numeric() and to.is_boolean()) else None

    def describe(self) -> str:
        return f"{self.column} as {self.to}, {otherwise(self.invalid)}"


def _decimals(scale: int) -> str:
    """Return the pattern of a number with so many digits after the point, beside zeros."""
    fraction = rf"\.[0-9]{{0,{scale}}}0*"
    return rf"^\s*[-+]?([0-9]+({fraction})?|{fraction})\s*$"


def missing(column: Any) -> Any:
    """Return where a value is null or NaN."""
    return column.isnull() | column.isnan().fill_null(True) if column.type().is_floating() else column.isnull()


def check_new(column: str, table: ibis.Table, place: str | None) -> None:
    """Refuse to add a column that the table has. Raises `DefinitionError`."""
    if column and (column in table.columns or column.startswith("_")):
        raise DefinitionError(
            f"a verb cannot add the column {column!r}",
            where=place,
            got="a column that exists" if column in table.columns else "a reserved name",
            expected="the name of a new column",
        )
