"""Texts as values: whether a text has a type, exactly, and the expression that reads it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import ibis

from mainstem.nodes.instants import INSTANT

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt

NARROW = ("boolean", "int64", "float64", "date", INSTANT)
"""The inferred types, narrowest first."""

MISFIT = "a value that does not fit its column"
"""What a query fails with that reads such a value."""

NUMBER = r"^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$"
"""A number as a text. What else the engine reads as one, such as `1_000`, is a code."""

MISSING = (
    *("", "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nan", "#null!", "null", "none", "nil", "\\n"),
    *("-", "--", "?", "."),
)
"""Texts of a CSV file that mean a missing value in a column of other values than texts, in lower case and without the
spaces around them."""

EXACT = 2**53
"""The greatest integer up to which float64 holds every one."""


def fits(text: Any, type: str, *, declared: bool = False) -> Any:
    """Return whether texts are values of an Ibis type, without loss. Codes such as `007` are not numbers.

    A type that the source declares is a statement of the user: there `007` is the number 7, and `1` is true.
    """
    dtype = ibis.dtype(type)
    if dtype.is_string():
        return ibis.literal(True)
    if dtype.is_boolean():
        return text.try_cast(type).notnull() if declared else text.lower().isin(["true", "false"])
    if dtype.is_integer():
        value = text.try_cast(type)
        if declared:
            return text.re_search(r"^\s*[+-]?\d+\s*$") & value.notnull()
        return (value.cast("string") == text).fill_null(False)
    if dtype.is_floating():
        return text.try_cast("float64").notnull() if declared else _is_float(text)
    if dtype.is_decimal():
        return _is_decimal(text, dtype)
    if dtype.is_date():
        return (text.length() == 10) & text.try_cast("date").notnull()
    if dtype.is_timestamp():
        return (text.length() >= 10) & text.try_cast(type).notnull()
    return text.try_cast(type).notnull()


def is_missing(text: Any) -> Any:
    """Return whether texts mean a missing value where a column has values of another type."""
    return text.strip().lower().isin(MISSING)


def unfit(text: Any, fitting: Any) -> Any:
    """Return whether texts neither are `fitting` nor mean a missing value."""
    return text.notnull() & ibis.ifelse(fitting, False, ~is_missing(text))  # the second is asked of few texts


def narrow(text: Any, type: str) -> Any:
    """Return whether texts are values of one of the inferred types. Beside instants, a date is its midnight in UTC."""
    is_whole = (text.length() >= 16) | fits(text, "date")
    return fits(text, type) & is_whole if type == INSTANT else fits(text, type)


def value(text: Any, type: str, *, declared: bool = False, missing: bool = False) -> Any:
    """Return texts as values of a type; with `missing`, those that mean a missing value are null. A query over it fails
    with `MISFIT` if one does not fit."""
    if ibis.dtype(type).is_string():
        return text
    fitting = text.isnull() | fits(text, type, declared=declared)
    other = ibis.ifelse(is_missing(text), ibis.null(type), failing(type, text)) if missing else failing(type, text)
    return ibis.ifelse(fitting, text.try_cast(type), other)


def failing(type: str, text: Any) -> Any:
    """Return an expression of a type with which a query fails, with `MISFIT` and a text."""
    return _error(type)(ibis.literal(f"{MISFIT}: ") + text)


@cache
def _error(type: str) -> Any:
    """Return the engine's function that fails with a text, as an expression of a type."""

    @ibis.udf.scalar.builtin(signature=(("string",), type), name="error")
    def error(text): ...  # type: ignore[no-untyped-def]

    return error


def _is_float(text: Any) -> Any:
    """Return whether texts are numbers that float64 holds. `007.5`, `+44`, ` 7`, `nan`, and those beyond 2^53 are
    not."""
    whole = text.re_extract(r"^-?(\d+)", 1).try_cast("decimal(38, 0)")
    return text.re_search(NUMBER) & (whole <= EXACT).fill_null(False) & text.try_cast("float64").notnull()


def _is_decimal(text: Any, dtype: dt.Decimal) -> Any:
    """Return whether texts are numbers that a decimal holds with every digit."""
    point = text.split(".")
    fraction = ibis.ifelse(text.contains("."), point[1].re_replace("0+$", ""), "")
    return (
        text.re_search(r"^-?\d+(\.\d*)?$") & (fraction.length() <= (dtype.scale or 0)) & text.try_cast(dtype).notnull()
    )
