"""The types of feature values, and what counts as null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis

from mainstem.errors import SchemaError
from mainstem.nodes.instants import INSTANT

NULL_INT = -(2**63)
"""The smallest int64 counts as null, because the online state stores null as this number."""

LARGEST_INT = 2**63 - 1

SMALLEST: Mapping[str, Any] = {"int64": NULL_INT, "float64": float("-inf"), "string": "", "boolean": False}
"""The value, by type, that represents a null in `order_by`."""


def logical_type(value: ibis.Value, where: str) -> str:
    """Return the type of a value in features: int64, float64, boolean, string or an instant. Raises `SchemaError`."""
    kind = value.type()
    if kind.is_integer():
        return "int64"
    if kind.is_floating() or kind.is_decimal():
        return "float64"
    if kind.is_boolean() or kind.is_string():
        return "boolean" if kind.is_boolean() else "string"
    if kind.is_timestamp() and kind.timezone == "UTC":
        return INSTANT
    raise SchemaError(
        "unsupported type of a feature column",
        where=where,
        got=str(kind),
        expected=f"a number, boolean, string or {INSTANT}",
        hint="a naive timestamp has no time zone" if kind.is_timestamp() else '.cast("string")',
    )


def stored_type(logical: str) -> str:
    return "int64" if logical == INSTANT else logical


def nulls(value: Any) -> Any:
    """Return a value with NaN and the smallest int64 replaced by null."""
    if value.type().is_floating():
        return value.isnan().ifelse(ibis.null("float64"), value)
    return value.nullif(NULL_INT) if value.type().is_integer() else value


def present(value: Any) -> Any:
    """Return whether a value is not null in the sense of `nulls`."""
    if value.type().is_floating():
        return value.notnull() & ~value.isnan()
    return value.nullif(NULL_INT).notnull() if value.type().is_integer() else value.notnull()
