"""Check rows from clients: JSON objects with declared columns. Instants are converted to int µs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any

import ibis.expr.datatypes as dt

from mainstem.errors import MOST_NAMES, RequestError, SchemaError, close_matches, meant_as
from mainstem.masking import brief, brief_value
from mainstem.nodes.instants import EARLIEST, INSTANT, LATEST, is_in_calendar, micros_of

Convert = Callable[[Any], Any]

_LARGEST_FLOAT32 = 3.4028234663852886e38


AN_INSTANT = "an instant in ISO 8601, such as 2013-12-01T10:00:00Z"
FIELDS_ARE = "the server's /docs lists the fields"


class _Refused(Exception):
    """A value does not fit its column's type. It has the expected value and a hint."""

    def __init__(self, expected: str, hint: str | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint


def iso(value: Any) -> Any:
    """Return an instant as ISO 8601 text; other values unchanged."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def parse_instant(value: Any) -> int:
    """Return an ISO 8601 text with its offset as int µs. Raises `ValueError` with the reason."""
    try:
        return _instant(value)
    except _Refused as refused:
        raise ValueError(refused.hint or refused.expected) from None


class RowSchema:
    """The schema of a row.

    `columns` maps fields to Ibis types. Each field is required, and those in `required` must not be null. Fields of
    `optional` may be left out; the returned row then lacks them. Fields of `lists` have types of arrays, and are
    required, too, without nulls.
    """

    def __init__(
        self,
        columns: Mapping[str, str],
        *,
        required: Sequence[str] = (),
        optional: Mapping[str, str] | None = None,
        lists: Mapping[str, str] | None = None,
        where: str,
    ) -> None:
        self.columns = {**columns, **(lists or {})}
        self.optional = dict(optional or {})
        self.required = frozenset(required) | frozenset(lists or ())
        self.where = where
        converters = {name: converter(type) for name, type in columns.items()}
        converters |= {name: _list_of(type) for name, type in (lists or {}).items()}
        self._fields = [(name, convert, name in self.required) for name, convert in converters.items()]
        self._extras = {name: converter(type) for name, type in self.optional.items()}

    def check(self, rows: Sequence[Any], path: str = "rows") -> list[dict[str, Any]]:
        """Return the rows with converted values. Raises `RequestError` for the first invalid row."""
        return [self._row(row, f"{path}[{index}]") for index, row in enumerate(rows)]

    def _row(self, row: Any, place: str) -> dict[str, Any]:
        if not isinstance(row, dict):
            raise self._error("a row is not a JSON object", place, got=_shown(row), expected="{…}")
        found: dict[str, Any] = {}
        for name, convert, required in self._fields:
            value = row.get(name)
            if value is not None:
                found[name] = self._value(convert, value, name, place)
            elif required or name not in row:
                raise self._absent(name, row, place)
            else:
                found[name] = None
        if len(row) > len(found):
            self._take_extras(row, found, place)
        return found

    def _take_extras(self, row: dict[str, Any], found: dict[str, Any], place: str) -> None:
        for name in row:
            if name in found:
                continue
            if name not in self._extras:
                known = [*self.columns, *self.optional]
                raise self._error(
                    f"unknown field {name!r}",
                    place,
                    got=name,
                    expected=f"the fields {', '.join(known)}",
                    hint=close_matches(name, known),
                )
            if row[name] is not None:
                found[name] = self._value(self._extras[name], row[name], name, place)

    def _value(self, convert: Convert, value: Any, name: str, place: str) -> Any:
        try:
            return convert(value)
        except _Refused as refused:
            raise self._error(
                f"the field {name!r} has the wrong type or value",
                f"{place}.{name}",
                got=_shown(value),
                expected=refused.expected,
                hint=refused.hint,
            ) from None

    def _absent(self, name: str, row: dict[str, Any], place: str) -> RequestError:
        if name in row:
            what, type = f"the field {name!r} must not be null", self.columns[name]
            return self._error(what, f"{place}.{name}", got="null", expected=type)
        unknown = [other for other in row if other not in self.columns and other not in self.optional]
        return self._error(
            f"the field {name!r} is missing",
            place,
            got=f"the fields {brief(', '.join(islice(row, MOST_NAMES)), 1_000)}" if row else "an empty object",
            expected=f"{name!r}: {self.columns[name]}",
            hint=meant_as(name, unknown) or (None if name in self.required else "send null if it is not known"),
        )

    def _error(self, what: str, place: str, *, hint: str | None = None, **more: str | None) -> RequestError:
        return RequestError(what, where=f"{self.where}, {place}", hint=hint or FIELDS_ARE, **more)


def converter(type: str) -> Convert:
    """Return the function that converts a JSON value to an Ibis type.

    Raises `SchemaError` for a type that JSON cannot carry.
    """
    parsed = dt.dtype(type)
    if isinstance(parsed, dt.Integer):
        return _integer(parsed)
    if isinstance(parsed, dt.Floating):
        return _float32 if isinstance(parsed, dt.Float32) else _float64
    if isinstance(parsed, dt.Timestamp) and parsed.timezone == "UTC":
        return _instant
    if isinstance(parsed, dt.Date):
        return _date
    if isinstance(parsed, dt.String):
        return _string
    if isinstance(parsed, dt.Boolean):
        return _boolean
    raise SchemaError(
        "unsupported type of a field",
        got=type,
        expected=f"an integer, float, string, boolean, date or {INSTANT}",
    )


def _list_of(type: str) -> Convert:
    parsed = dt.dtype(type)
    assert isinstance(parsed, dt.Array)
    convert = converter(str(parsed.value_type))

    def converted(value: Any) -> list[Any]:
        if value.__class__ is not list:
            raise _Refused("a list")
        for place, each in enumerate(value):
            if each is None:
                raise _Refused("a list without nulls", f"the element {place} is null")
        return [convert(each) for each in value]

    return converted


def _integer(type: dt.Integer) -> Convert:
    low, high = type.bounds

    def convert(value: Any) -> int:
        if value.__class__ is float and value.is_integer():
            value = int(value)
        if value.__class__ is not int:
            raise _Refused("an integer")
        if not low <= value <= high:
            raise _Refused(f"an integer from {low} to {high}")
        return int(value)

    return convert


def _float64(value: Any) -> float:
    if value.__class__ is float and math.isfinite(value):
        return float(value)
    if value.__class__ is int:
        try:
            return float(value)
        except OverflowError:
            pass
    raise _Refused("a finite number", "send null if it is not known")


def _float32(value: Any) -> float:
    found = _float64(value)
    if abs(found) > _LARGEST_FLOAT32:
        raise _Refused("a number that float32 can hold")
    return found


def _string(value: Any) -> str:
    if value.__class__ is not str:
        number = value.__class__ in (int, float)
        raise _Refused("a string", f'write it in quotes: "{value}"' if number else None)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Refused("a string of whole characters", "it contains half of a surrogate pair") from None
    return str(value)


def _boolean(value: Any) -> bool:
    if value.__class__ is not bool:
        raise _Refused("true or false")
    return bool(value)


def _instant(value: Any) -> int:
    if isinstance(value, datetime):
        found = value
    elif value.__class__ is str and len(value) > 10:
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            raise _Refused(AN_INSTANT) from None
    else:
        raise _Refused(AN_INSTANT)
    if found.tzinfo is None:
        raise _Refused(AN_INSTANT, "it has no time zone: append Z if it is UTC, or its offset, such as +01:00")
    micros = micros_of(found)
    if not is_in_calendar(micros):
        raise _Refused(f"an instant from {EARLIEST.date()} to {LATEST.date()}, UTC")
    return micros


def _date(value: Any) -> str:
    """Check a date. It stays text in JSON and in the log."""
    try:
        if value.__class__ is str and len(value) == 10:
            return date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    raise _Refused("a date in ISO 8601, such as 2013-12-01")


def _shown(value: Any) -> str:
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    return brief_value(value, 78)
