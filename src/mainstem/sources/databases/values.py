"""Rows of Python values as Arrow columns. A column gets the type that holds all its values exactly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import ibis
import pyarrow as pa

from mainstem.errors import SourceError
from mainstem.sources.evolution import lossy
from mainstem.sources.texts import EXACT

Row = Sequence[Any]

_ARROW = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    bytes: pa.binary(),
    date: pa.date32(),
    time: pa.time64("us"),
}


def batch_of(
    names: Sequence[str],
    rows: Sequence[Row],
    known: Mapping[str, str],
    where: str,
    is_set_aside: Callable[[str], bool] = lambda name: False,
) -> pa.RecordBatch:
    """Return rows as a batch. `known` are the Ibis types of columns so far.

    Raises `SourceError` for values that no type holds together, and for a number in a column of instants or dates,
    unless what does not fit the column `is_set_aside`.
    """
    values = zip(*rows, strict=True) if rows else [()] * len(names)
    columns = [
        _column(name, some, known.get(name, ""), where, is_set_aside(name))
        for name, some in zip(names, values, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=list(names))


def _column(name: str, values: Sequence[Any], known: str, where: str, is_set_aside: bool) -> pa.Array:
    """Return values as a column. In a boolean column 0 and 1 are booleans; numbers beside texts are texts."""
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pa.nulls(len(values))
    if kinds & {int, float, Decimal} and known.startswith(("timestamp", "date")):
        return _epochs(name, values, known, where, is_set_aside)
    if kinds == {int} and known == "boolean" and set(values) <= {0, 1, None}:
        return pa.array([None if value is None else value == 1 for value in values], pa.bool_())
    if len(kinds) == 1:
        return _alike(values, kinds.pop(), known)
    if bytes in kinds:
        raise SourceError(
            f"{name!r} has blobs beside other values",
            where=where,
            expected="blobs, or none",
            hint=f'query="SELECT …, hex({name}) AS {name} FROM …"',
        )
    if kinds == {int, float} and known != "string" and not known.startswith("decimal"):
        return _floats(name, values, where)
    if kinds == {int, Decimal}:
        return pa.array([None if value is None else Decimal(value) for value in values])
    return pa.array([_text(value) for value in values], pa.string())


def _alike(values: Sequence[Any], kind: type, known: str) -> pa.Array:
    """Return values of one Python type as a column."""
    if kind is int and any(value is not None and not -(2**63) <= value < 2**63 for value in values):
        return pa.array([_text(value) for value in values], pa.string())
    if kind is datetime:
        zoned = all(value is None or value.tzinfo is not None for value in values)
        return pa.array(values, pa.timestamp("us", "UTC") if zoned else pa.timestamp("us"))
    if kind is Decimal:
        return _decimals(values, known)
    return pa.array(values, _ARROW[kind]) if kind in _ARROW else pa.array([_text(v) for v in values], pa.string())


def _decimals(values: Sequence[Any], known: str) -> pa.Array:
    if known.startswith("decimal"):
        with suppress(pa.ArrowInvalid):  # another number of digits: the contract decides
            return pa.array(values, ibis.dtype(known).to_pyarrow())
    return pa.array(values)


def _epochs(name: str, values: Sequence[Any], known: str, where: str, is_set_aside: bool) -> pa.Array:
    """Refuse numbers as instants: they may be seconds, milliseconds or days. Return them as texts to be set aside."""
    if is_set_aside:
        return pa.array([_text(value) for value in values], pa.string())
    number = next(value for value in values if isinstance(value, int | float | Decimal))
    raise SourceError(
        f"{name!r} has a number that is not {'a date' if known == 'date' else 'an instant'}",
        where=where,
        got=str(number),
        expected="ISO 8601, such as 2026-01-31 10:00:00",
        hint=f"if it counts seconds since 1970: query=\"SELECT …, datetime({name}, 'unixepoch') AS {name} FROM …\"; "
        f'to keep the number: schema={{{name!r}: "int64"}}',
    )


def _floats(name: str, values: Sequence[Any], where: str) -> pa.Array:
    for value in values:
        if isinstance(value, int) and abs(value) > EXACT:
            raise lossy(name, "int64", "float64", str(value), where)
    return pa.array([None if value is None else float(value) for value in values], pa.float64())


def _text(value: Any) -> str | None:
    """Return a value as text; nested ones as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=str, ensure_ascii=False)
    return repr(value) if isinstance(value, int | float) else str(value)
