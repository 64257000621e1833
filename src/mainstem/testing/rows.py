"""Rows that a test gives: mappings, a frame, CSV or YAML, read into the types of a relation. No value is guessed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.errors import MissingExtra, RequestError, UnknownName
from mainstem.masking import brief

if TYPE_CHECKING:
    import pyarrow as pa

Rows = Any
"""A sequence of mappings; an Arrow table; a pandas or Polars frame; the path of a CSV or YAML file; or a CSV text of
several lines. In CSV an empty field is null, and spaces around a field are left out."""


def columns_of(rows: Rows, where: str) -> tuple[list[dict[str, Any]] | pa.Table, list[str]]:
    """Return the rows, and the names of the columns that they have. Raises `RequestError`."""
    import pyarrow as pa

    found = _read(rows, where)
    if isinstance(found, pa.Table):
        return found, list(found.column_names)
    return found, list(dict.fromkeys(name for row in found for name in row))


def to_arrow(rows: Rows, schema: Mapping[str, str], where: str) -> pa.Table:
    """Return rows with all columns of `schema` (Ibis types). Missing columns and values are null.

    Raises `UnknownName` for a column that the schema does not have, and `RequestError` for a value that the type does
    not hold.
    """
    import ibis
    import pyarrow as pa

    found, given = columns_of(rows, where)
    unknown = [name for name in given if name not in schema]
    if unknown:
        raise UnknownName.among("column", unknown[0], schema, where=where)
    types = ibis.schema(dict(schema)).to_pyarrow()
    arrays = []
    for name, field in zip(schema, types, strict=True):
        place = f"{where}, column {name!r} ({schema[name]})"
        if not isinstance(found, pa.Table):
            arrays.append(_array([row.get(name) for row in found], field.type, place))
        elif name not in given:
            arrays.append(pa.nulls(found.num_rows, field.type))
        else:
            arrays.append(_cast(found[name], field.type, place))
    return pa.Table.from_arrays(arrays, schema=types)


def _read(rows: Rows, where: str) -> list[dict[str, Any]] | pa.Table:
    import pyarrow as pa

    if isinstance(rows, (str, Path)):
        return _from_text(rows, where)
    if isinstance(rows, pa.Table):
        return rows
    if hasattr(rows, "to_arrow"):  # Polars
        return rows.to_arrow()
    if type(rows).__module__.startswith("pandas"):
        return pa.Table.from_pandas(rows, preserve_index=False)
    if isinstance(rows, Sequence) and all(isinstance(row, Mapping) for row in rows):
        return [dict(row) for row in rows]
    expected = "a list of mappings, a frame, the path of a CSV or YAML file, or a CSV text"
    raise RequestError("the rows cannot be read", where=where, got=brief(repr(rows)), expected=expected)


def _from_text(text: str | Path, where: str) -> list[dict[str, Any]]:
    if isinstance(text, str) and "\n" in text:
        return _csv(text, where)
    path = Path(text)
    if not path.is_file():
        hint = "a path is relative to the working directory; a CSV text has several lines"
        raise RequestError("the file of rows does not exist", where=where, got=str(path), hint=hint)
    if path.suffix in (".yml", ".yaml"):
        return _yaml(path, where)
    return _csv(path.read_text(encoding="utf-8-sig"), f"{where}, {path}")


def _csv(text: str, where: str) -> list[dict[str, Any]]:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    header, *rest = list(csv.reader(io.StringIO("\n".join(line.strip() for line in lines)), skipinitialspace=True))
    names = [name.strip() for name in header]
    for number, fields in enumerate(rest, 1):
        if len(fields) != len(names):
            raise RequestError(
                "a CSV row does not fit its header",
                where=f"{where}, row {number}",
                got=f"{len(fields)} fields",
                expected=f"{len(names)}: {', '.join(names)}",
            )
    return [{n: _Text(f.strip()) if f.strip() else None for n, f in zip(names, fields, strict=True)} for fields in rest]


def _yaml(path: Path, where: str) -> list[dict[str, Any]]:
    try:
        import yaml
    except ImportError:
        raise MissingExtra.named("yaml", "PyYAML") from None
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as problem:
        raise RequestError("the file is not YAML", where=f"{where}, {path}", got=str(problem)) from None
    if not (isinstance(found, list) and all(isinstance(row, dict) for row in found)):
        raise RequestError("the file has no rows", where=f"{where}, {path}", expected="a list of mappings")
    return found


class _Text(str):
    """A field of a CSV text: every type is written as text there."""


def _array(values: Iterable[Any], kind: pa.DataType, where: str) -> pa.Array:
    import pyarrow as pa

    held = []
    for number, value in enumerate(values, 1):
        try:
            made = None if value is None else _held(value, kind)
            pa.scalar(made, kind)
        except (ValueError, TypeError, OverflowError, InvalidOperation, pa.ArrowException) as problem:
            raise RequestError(
                "a value does not fit the type of its column",
                where=f"{where}, row {number}",
                got=brief(repr(value if not isinstance(value, _Text) else str(value))),
                expected=str(problem) or str(kind),
            ) from None
        held.append(made)
    return pa.array(held, kind)


def _held(value: Any, kind: pa.DataType) -> Any:
    """Return a value as its type holds it. Raises `ValueError` and `TypeError`."""
    import pyarrow.types as t

    text = isinstance(value, _Text)
    if t.is_string(kind):
        return str(_of(value, str, "a text; write it in quotes"))
    if t.is_boolean(kind):
        if text and value.lower() in ("true", "false"):
            return value.lower() == "true"
        return _of(value, bool, "true or false")
    if t.is_integer(kind):
        if text:
            return int(value)
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise TypeError("a whole number")
        return _of(value if not isinstance(value, float) else int(value), int, "a whole number")
    if t.is_floating(kind):
        return float(value) if text else float(_of(value, (int, float, Decimal), "a number", but=bool))
    if t.is_decimal(kind):
        return Decimal(str(_of(value, (int, float, str, Decimal), "a number", but=bool)))
    if t.is_date(kind):
        return date.fromisoformat(value) if isinstance(value, str) else _of(value, date, "a date", but=datetime)
    if t.is_timestamp(kind):
        return _instant(value, kind)
    return value


def _instant(value: Any, kind: pa.DataType) -> datetime:
    at = datetime.fromisoformat(value) if isinstance(value, str) else _of(value, datetime, "an instant")
    if kind.tz is not None and at.tzinfo is None:
        raise TypeError("an instant with a time zone, such as 2025-01-05T09:00:00Z")
    made: datetime = at
    return made


def _of(value: Any, kinds: Any, expected: str, but: Any = ()) -> Any:
    if not isinstance(value, kinds) or (but and isinstance(value, but)):
        raise TypeError(expected)
    return value


def _cast(column: pa.ChunkedArray, kind: pa.DataType, where: str) -> pa.ChunkedArray:
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) and pa.types.is_timestamp(kind) and column.type.tz is None and kind.tz:
        raise RequestError("the instants have no time zone", where=where, got=str(column.type), expected=str(kind))
    try:
        return column.cast(kind)
    except pa.ArrowException as problem:
        raise RequestError(
            "a value does not fit the type of its column", where=where, got=str(column.type), expected=str(problem)
        ) from None
