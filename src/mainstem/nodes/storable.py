"""The types that a stored column may have. A definition with any other type is refused before a run."""

from __future__ import annotations

from typing import Any

from mainstem.errors import SchemaError

_PLAIN = (
    *("boolean", "integer", "float32", "float64", "decimal"),
    *("string", "json", "binary", "uuid", "date", "time", "timestamp"),
)

_ADVICE = {
    "Struct": "make a column of each field (.unpack() in Ibis, column.field in SQL), or cast it to json",
    "Map": "make columns of its values, or cast it to json",
    "Array": "make a row of each item (.unnest() in Ibis, unnest() in SQL), or cast it to json",
    "Null": "cast it to the type that it is to have",
}


def is_storable(dtype: Any) -> bool:
    """Return whether a column of an Ibis type can be stored: a plain type, or an array of one."""
    return _is_plain(dtype.value_type if dtype.is_array() else dtype)


def unstorable(column: str, dtype: Any, where: str | None = None) -> SchemaError:
    """Return the error for a column of a type that no stored table can have."""
    return SchemaError(
        f"column {column!r} of type {dtype} cannot be stored",
        where=where,
        expected="a boolean, number, decimal, string, binary, uuid, date, time, timestamp or an array of one",
        hint=_ADVICE.get(type(dtype).__name__, "cast it to another type, such as string"),
    )


def _is_plain(dtype: Any) -> bool:
    return any(getattr(dtype, f"is_{each}")() for each in _PLAIN)
