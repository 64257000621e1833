"""Values of one type as those of another, without loss."""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.datatypes as dt

from mainstem.sources.texts import EXACT, failing, value
from mainstem.sources.texts import fits as is_of


def fits(column: Any, type: str) -> Any:
    """Return whether values of a column can be converted to an Ibis type and back."""
    own, wanted = column.type().copy(nullable=True), ibis.dtype(type)
    if own == wanted or wanted.is_string():
        return ibis.literal(True)
    if own.is_string():
        return is_of(column, type, declared=True)
    there = column.try_cast(type)
    return (there.notnull() & (there.try_cast(own) == column)).fill_null(False)


def fits_number(text: Any, type: str) -> Any:
    """Return whether the digits of numbers, as texts, are values of an Ibis type, without loss."""
    wanted = ibis.dtype(type)
    float64 = text.try_cast("float64")
    is_exact = text.re_search("[.eE]") | (text.try_cast("decimal(38, 0)").abs() <= EXACT).fill_null(False)
    if wanted.is_floating():
        return float64.notnull() & is_exact
    return is_of(text, type) | (is_exact & fits(float64, type))


def number(text: Any, type: str) -> Any:
    """Return the digits of numbers as values. A query over it fails with `texts.MISFIT` if a value would lose
    something."""
    return ibis.ifelse(text.isnull() | fits_number(text, type), text.try_cast(type), failing(type, text))


def converted(column: Any, type: str) -> Any:
    """Return a column as another type. A query over it fails with `texts.MISFIT` if a value would lose something.

    Instants become ISO 8601 texts, nested values JSON.
    """
    own, wanted = column.type().copy(nullable=True), ibis.dtype(type)
    if own == wanted:
        return column
    if own.is_string():
        return value(column, type, declared=True)
    if wanted.is_string():
        return _text(column, own)
    return ibis.ifelse(
        column.isnull() | fits(column, type), column.try_cast(type), failing(type, column.cast("string"))
    )


def _text(column: Any, own: dt.DataType) -> Any:
    if own.is_timestamp():
        text = column.strftime("%Y-%m-%dT%H:%M:%S.%f").re_replace(r"\.?0{1,6}$", "")
        return text + ibis.literal("Z" if own.timezone else "")
    return column.cast("json").cast("string") if own.is_nested() else column.cast("string")
