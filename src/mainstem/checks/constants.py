"""Whether the constants of a check fit its column: an engine compares a text with a number as it likes, or refuses."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from numbers import Real
from typing import Any

from mainstem.errors import SchemaError
from mainstem.nodes.checks import Check
from mainstem.nodes.instants import INSTANT


def fits(type: Any, constants: Iterable[Any], check: Check, where: str | None) -> None:
    """Refuse constants that a column of an Ibis `type` is not compared with. Raises `SchemaError`."""
    takes = _taken(type)
    for constant in constants:
        if constant is not None and not _is(constant, takes, type):
            raise SchemaError(
                f"{check.label} does not fit the type of its column",
                where=where,
                got=f"{constant!r} for a column of type {type}",
                expected=takes or "a column of numbers, texts, truth values, dates or instants",
                hint="cast the column in a table, or write the constants as the column has them",
            )


def _taken(type: Any) -> str | None:
    """Return in words which constants a column of this type can be compared with."""
    if type.is_boolean():
        return "truth values"
    if type.is_numeric():
        return "numbers"
    if type.is_string() or type.is_uuid():
        return "texts"
    return f"dates and instants, such as a {INSTANT}" if type.is_date() or type.is_timestamp() else None


def _is(constant: Any, takes: str | None, type: Any) -> bool:
    if takes is None:
        return False
    if type.is_boolean() or isinstance(constant, bool):
        return bool(type.is_boolean()) and isinstance(constant, bool)
    if type.is_numeric():
        return isinstance(constant, (Real, Decimal))
    if type.is_string() or type.is_uuid():
        return isinstance(constant, str)
    return isinstance(constant, date) or (isinstance(constant, str) and _is_instant(constant))


def _is_instant(text: str) -> bool:
    from datetime import datetime

    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
