"""Convert the data of a source to Arrow columns of the declared types. An error names the invalid value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa
import pyarrow.compute as pc

from mainstem.errors import SourceError, close_matches
from mainstem.masking import brief
from mainstem.sources.cursors import plain
from mainstem.sources.evolution import Change, Shape
from mainstem.sources.inference import kept, type_of
from mainstem.sources.setaside import Unfit
from mainstem.sources.widening import wider


def arrow_schema(schema: Mapping[str, str]) -> pa.Schema:
    """Return Ibis types as an Arrow schema."""
    return pa.schema([(name, ibis.dtype(type).to_pyarrow()) for name, type in schema.items()])


def types_of(schema: pa.Schema) -> dict[str, str]:
    """Return an Arrow schema as Ibis types."""
    return {f.name: str(dt.DataType.from_pyarrow(f.type).copy(nullable=True)) for f in schema}


def found_in(batch: pa.RecordBatch) -> dict[str, str]:
    """Return the columns of a batch with the types that they would be stored in; `null` for one without values."""
    empty = {name for name, column in zip(batch.schema.names, batch.columns, strict=True) if _is_empty(column)}
    return {f.name: "null" if f.name in empty else kept(dt.DataType.from_pyarrow(f.type)) for f in batch.schema}


def fit(
    batch: pa.RecordBatch,
    shape: Shape,
    origin: str,
    *,
    found: Mapping[str, str] | None = None,
    loose: bool = False,
) -> pa.RecordBatch:
    """Return the batch in the columns and types of the source, which may grow by it.

    `found` are the batch's types where Arrow does not know them. With `loose` texts are values of another type if all
    of them are. Rows that do not fit and are to be set aside go to `shape.unfit`. Raises `SourceError`.
    """
    types = dict(found or found_in(batch))
    if loose:
        types |= _read_as(batch, shape, types)

    def place(name: str) -> str | None:
        column, f = batch.column(name), pa.field(name, arrow_schema({name: known[name]}).field(0).type)
        return f"{origin}: {brief(repr(_first_unfit(column, f)))}" if _fails(column, f) else None

    known = dict(shape.schema)
    doubtful = shape.meet(types, origin, place=place)
    if doubtful:
        batch = _parted(batch, shape, doubtful, origin)
    return conform(batch, arrow_schema(shape.schema), f"{shape.where}, {origin}" if origin else shape.where)


def conform(batch: pa.RecordBatch, schema: pa.Schema, where: str) -> pa.RecordBatch:
    """Return the columns that `schema` names, cast to its types without loss. One that is missing is null. Raises
    `SourceError`."""
    names = set(batch.schema.names)
    columns = [
        cast(batch.column(f.name), f, where) if f.name in names else pa.nulls(batch.num_rows, f.type) for f in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def from_records(records: Sequence[Mapping[str, Any]], shape: Shape, origin: str) -> pa.RecordBatch:
    """Return JSON objects as one batch, in the columns and types of the source, which may grow by them.

    A key that an object lacks is null. Raises `SourceError`.
    """
    names, known = dict.fromkeys(key for record in records for key in record), shape.schema
    found = {name: type_of([record.get(name) for record in records], known.get(name)) for name in names}
    for name, type in (shape.node.schema or {}).items():
        if found.get(name, type) != type and _holds([record.get(name) for record in records], type):
            found[name] = type

    def place(name: str) -> str | None:
        misfits = (v for r in records if wider(known[name], type_of([v := r.get(name)])) != known[name])
        return next((f"{origin}: {brief(repr(value))}" for value in misfits), None)

    if shape.meet(found, origin, whole=False, place=place):
        records = [record for record in records if _is_fit(record, shape, origin)]
    schema, where = arrow_schema(shape.schema), f"{shape.where}, {origin}"
    columns = [_column([record.get(f.name) for record in records], f, where) for f in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _holds(values: list[Any], type: str) -> bool:
    """Return whether a type holds all values."""
    try:
        _column(values, arrow_schema({"value": type}).field(0), "")
    except SourceError:
        return False
    return True


def _is_fit(record: Mapping[str, Any], shape: Shape, origin: str) -> bool:
    """Return whether an object fits the schema; one that does not is set aside."""
    reasons = []
    for name, value in record.items():
        known, type = shape.schema.get(name), type_of([value])
        if type != "null" and shape.node.policy(name) == "quarantine" and (not known or wider(known, type) != known):
            reasons.append(_reason(name, value, known))
    if reasons:
        shape.unfit.append(Unfit("; ".join(reasons), origin, json.dumps(record, ensure_ascii=False)))
    return not reasons


def _reason(name: str, value: Any, known: str | None) -> str:
    return f"{name}={brief(str(value))} is not {known}" if known else f"unknown column {name}"


def _read_as(batch: pa.RecordBatch, shape: Shape, found: Mapping[str, str]) -> dict[str, str]:
    """Return the known types of columns that arrived as texts, or are declared, if all values are values of them."""
    known = shape.schema
    free = {f.name for f in batch.schema if pa.types.is_string(f.type) or f.name in (shape.node.schema or {})}
    names = [name for name in found if name in free and known.get(name, "string") not in ("string", found[name])]
    fields = {f.name: f for f in arrow_schema({name: known[name] for name in names})}
    declared = shape.node.schema or {}
    held = [name for name in names if not _fails(batch.column(name), fields[name])]
    return {name: known[name] for name in held if name in declared or not _has_code(batch.column(name), known[name])}


def _has_code(column: pa.Array, type: str) -> bool:
    """Return whether a text of a column of numbers is a code, such as `007`, that a number would not keep."""
    if not pa.types.is_string(column.type) or not ibis.dtype(type).is_numeric():
        return False
    return bool(pc.any(pc.match_substring_regex(column, r"^\s*[+-]?0\d|^\s|\s$|^\+")).as_py())


def _parted(batch: pa.RecordBatch, shape: Shape, doubtful: Sequence[Change], origin: str) -> pa.RecordBatch:
    """Return the rows that fit; the others are set aside."""
    reasons: dict[int, list[str]] = {}
    fields = {f.name: f for f in arrow_schema(shape.schema)}
    for change in doubtful:
        if change.after is None:
            for row in range(batch.num_rows):
                reasons.setdefault(row, []).append(f"no column {change.column}")
            continue
        column = batch.column(change.column)
        for row in range(batch.num_rows):
            value = column.slice(row, 1)
            if value.null_count or (change.before and not _fails(value, fields[change.column])):
                continue
            reasons.setdefault(row, []).append(_reason(change.column, value[0].as_py(), change.before))
    for row, told in reasons.items():
        raw = json.dumps(batch.slice(row, 1).to_pylist()[0], default=str, ensure_ascii=False)
        shape.unfit.append(Unfit("; ".join(told), origin, raw))
    return batch.filter(pa.array([row not in reasons for row in range(batch.num_rows)], pa.bool_()))


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
            hint=close_matches(missing[0], names),
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
    if _is_empty(column):
        return pa.nulls(len(column), type)
    _refuse_loss(column, type)
    if pa.types.is_timestamp(type) and type.tz and pa.types.is_string(column.type):
        return _instants(column, type)
    if pa.types.is_string(type) and pa.types.is_timestamp(column.type):
        return pa.array([None if at is None else plain(at) for at in column.to_pylist()], pa.string())
    if pa.types.is_string(type) and pa.types.is_nested(column.type):
        return pa.array([_text(value) for value in column.to_pylist()], pa.string())
    return pc.cast(column, type)


def _refuse_loss(column: pa.Array, type: pa.DataType) -> None:
    """Refuse casts that Arrow makes although a value may become another one. Raises `ArrowInvalid`."""
    own = column.type
    is_number = pa.types.is_integer(own) or pa.types.is_floating(own) or pa.types.is_decimal(own)
    if is_number and pa.types.is_temporal(type):
        raise pa.ArrowInvalid("a number is not an instant: it may count seconds, milliseconds or days")
    if is_number and pa.types.is_boolean(type) and not pc.all(pc.is_in(column, pa.array([0, 1, None], own))).as_py():
        raise pa.ArrowInvalid("a number other than 0 and 1 is not a boolean")
    if pa.types.is_string(own) and pa.types.is_floating(type):
        long = pc.fill_null(pc.match_substring_regex(column, r"^\s*[+-]?\d{16,}\.?0*\s*$"), False)
        for text in pc.filter(column, long).to_pylist():
            if Decimal(float(text)) != Decimal(text):
                raise pa.ArrowInvalid("a float does not hold every digit")


def _is_empty(column: pa.Array) -> bool:
    """Return whether a column has no value, whatever type its source says."""
    return bool(column.null_count == len(column))


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
        if pa.types.is_decimal(field.type):
            return pa.array([None if v is None else Decimal(str(v)) for v in values], field.type)
        return pa.array(values, field.type)
    except _FAILURES as error:
        raise _first_offender(values, field, where) from error


def _text(value: Any) -> str | None:
    """Return a value as text; one that is not a text as JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _offender(column: pa.Array, field: pa.Field, where: str) -> SourceError:
    """Return the error for the first value that cannot be cast."""
    return _refused(_first_unfit(column, field), field, where)


def _first_unfit(column: pa.Array, field: pa.Field) -> Any:
    """Return the first value that cannot be cast. It is found by bisection."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fails(column.slice(low, middle - low), field) else (middle, high)
    return column[low].as_py() if len(column) else None


def unfit(column: pa.Array, field: pa.Field) -> pa.Array:
    """Return which values cannot be cast."""
    return pa.array([_fails(column.slice(row, 1), field) for row in range(len(column))], pa.bool_())


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
        except _FAILURES:
            return _refused(value, field, where)
    return _refused(None, field, where)


_FAILURES = (
    pa.ArrowInvalid,
    pa.ArrowTypeError,
    pa.ArrowNotImplementedError,
    OverflowError,
    InvalidOperation,
    UnicodeEncodeError,  # a text may have half a surrogate pair
)


def _column_of_one(value: Any, field: pa.Field) -> None:
    if pa.types.is_timestamp(field.type) or pa.types.is_date(field.type):
        _cast(pa.array([value], pa.string()), field.type)
    else:
        value = Decimal(str(value)) if pa.types.is_decimal(field.type) and value is not None else value
        pa.array([_text(value) if pa.types.is_string(field.type) else value], field.type)


def _refused(value: Any, field: pa.Field, where: str) -> SourceError:
    expected = "ISO 8601 instant" if pa.types.is_timestamp(field.type) else str(ibis.dtype(field.type))
    return SourceError(
        f"{field.name!r} has a value that is not {expected}",
        where=where,
        got=brief(repr(value), 200),
        expected=expected,
        hint=f"no wider type holds it without loss: declare schema={{{field.name!r}: …}}, or correct the source",
    )
