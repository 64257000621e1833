"""Rows of Arrow batches as parameters of drivers that take Python values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def rows_of(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a batch. NaN is null, and a list is JSON text."""
    return zip(*(_column(column) for column in batch.columns), strict=True)


def flat(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch whose lists are JSON texts."""
    arrays = [_json(column) if pa.types.is_nested(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def flat_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema of `flat` batches."""
    return pa.schema([(f.name, pa.string() if pa.types.is_nested(f.type) else f.type) for f in schema])


def _column(column: pa.Array) -> list[Any]:
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    values: list[Any] = (_json(column) if pa.types.is_nested(column.type) else column).to_pylist()
    return values


def _json(column: pa.Array) -> pa.Array:
    texts = [
        None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in column.to_pylist()
    ]
    return pa.array(texts, pa.string())
