"""Convert the data of a source to Arrow columns of the declared types. An error names the invalid value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from mainstem.errors import SourceError, close_matches
from mainstem.masking import brief


def arrow_schema(schema: Mapping[str, str]) -> pa.Schema:
    """Return Ibis types as an Arrow schema."""
    return pa.schema([(name, ibis.dtype(type).to_pyarrow()) for name, type in schema.items()])


def from_records(records: Sequence[Mapping[str, Any]], schema: pa.Schema, where: str) -> pa.RecordBatch:
    """Return JSON objects as one batch. A key that an object lacks is null. Raises `SourceError`."""
    require(schema.names, dict.fromkeys(key for record in records for key in record), where)
    columns = [_column([record.get(f.name) for record in records], f, where) for f in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def conform(batch: pa.RecordBatch, schema: pa.Schema, where: str) -> pa.RecordBatch:
    """Return the columns that `schema` names, cast to its types. Raises `SourceError`."""
    require(schema.names, batch.schema.names, where)
    return pa.RecordBatch.from_arrays([cast(batch.column(f.name), f, where) for f in schema], schema=schema)


def conformed(batches: Iterable[pa.RecordBatch], schema: pa.Schema, where: str) -> Iterator[pa.RecordBatch]:
    return (conform(batch, schema, where) for batch in batches)


def require(expected: Sequence[str], got: Iterable[str], where: str) -> None:
    """Raise `SourceError` if an expected column is missing."""
    names = list(got)
    missing = [name for name in expected if name not in names]
    if missing and names:
        raise SourceError(
            f"the source has no column {missing[0]!r}",
            where=where,
            got=", ".join(names),
            expected=", ".join(expected),
            hint=close_matches(missing[0], names) or "if the source changed, correct its lines in schemas.lock",
        )


def cast(column: pa.Array, field: pa.Field, where: str) -> pa.Array:
    """Cast a column to the field's type. Texts become numbers and instants. An instant without a zone is in UTC."""
    try:
        return _cast(column, field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _offender(column, field, where) from error


def _cast(column: pa.Array, type: pa.DataType) -> pa.Array:
    if column.type == type:
        return column
    if pa.types.is_timestamp(type) and type.tz and pa.types.is_string(column.type):
        return _instants(column, type)
    return pc.cast(column, type)


def _instants(texts: pa.Array, type: pa.DataType) -> pa.Array:
    """Return ISO 8601 texts as instants. Texts without an offset are in UTC. Arrow casts only texts of one form
    together."""
    zoned = pc.match_substring_regex(texts, r"(Z|[+-]\d\d(:?\d\d)?)$")
    zoned = pc.and_(pc.fill_null(zoned, False), pc.greater(pc.fill_null(pc.utf8_length(texts), 0), 10))
    with_zone = pc.cast(pc.if_else(zoned, texts, pa.scalar(None, pa.string())), type)
    if pc.all(pc.or_(zoned, pc.is_null(texts))).as_py() or not len(texts):
        return with_zone
    naive = pc.cast(pc.if_else(zoned, pa.scalar(None, pa.string()), texts), pa.timestamp("us"))
    return pc.coalesce(with_zone, pc.assume_timezone(naive, "UTC").cast(type))


def _column(values: list[Any], field: pa.Field, where: str) -> pa.Array:
    try:
        if pa.types.is_string(field.type):
            return pa.array([_text(v) for v in values], pa.string())
        if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type):
            return _cast(pa.array(values, pa.string()), field.type)
        return pa.array(values, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise _first_offender(values, field, where) from error


def _text(value: Any) -> str | None:
    """Return a nested value as JSON text. A number in a text column is left as it is, so that Arrow refuses it."""
    return json.dumps(value) if isinstance(value, (dict, list)) else value


def _offender(column: pa.Array, field: pa.Field, where: str) -> SourceError:
    """Return the error for the first value that cannot be cast. It is found by bisection."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fails(column.slice(low, middle - low), field) else (middle, high)
    return _refused(column[low].as_py() if len(column) else None, field, where)


def _fails(column: pa.Array, field: pa.Field) -> bool:
    try:
        _cast(column, field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return True
    return False


def _first_offender(values: list[Any], field: pa.Field, where: str) -> SourceError:
    for value in values:
        try:
            _column_of_one(value, field)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
            return _refused(value, field, where)
    return _refused(None, field, where)


def _column_of_one(value: Any, field: pa.Field) -> None:
    if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type):
        _cast(pa.array([value], pa.string()), field.type)
    else:
        pa.array([_text(value) if pa.types.is_string(field.type) else value], field.type)


def _refused(value: Any, field: pa.Field, where: str) -> SourceError:
    expected = "ISO 8601 instant" if pa.types.is_timestamp(field.type) else str(ibis.dtype(field.type))
    return SourceError(
        f"{field.name!r} has a value that is not {expected}",
        where=where,
        got=brief(repr(value), 200),
        expected=expected,
        hint=f"if the source is right, correct the type of {field.name!r} in schemas.lock",
    )
