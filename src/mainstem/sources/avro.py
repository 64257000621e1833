"""Avro's types and values in Arrow."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

_LOGICAL = {
    "date": pa.date32(),
    "timestamp-millis": pa.timestamp("us", "UTC"),
    "timestamp-micros": pa.timestamp("us", "UTC"),
    "local-timestamp-millis": pa.timestamp("us"),
    "local-timestamp-micros": pa.timestamp("us"),
    "time-millis": pa.time64("us"),
    "time-micros": pa.time64("us"),
    "uuid": pa.string(),
}
_PLAIN = {
    "null": pa.null(),
    "boolean": pa.bool_(),
    "int": pa.int64(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bytes": pa.binary(),
    "fixed": pa.binary(),
    "string": pa.string(),
    "enum": pa.string(),
}


def arrow_type(schema: Any) -> pa.DataType:
    """Return an Avro type as an Arrow type. Records, maps and unions of several types are JSON text."""
    if isinstance(schema, list):
        some = [each for each in schema if each != "null"]
        return arrow_type(some[0]) if len(some) == 1 else pa.string() if some else pa.null()
    if not isinstance(schema, dict):
        return _PLAIN.get(schema, pa.string())
    logical = schema.get("logicalType")
    if logical == "decimal" and schema["precision"] <= 38:
        return pa.decimal128(schema["precision"], schema.get("scale", 0))
    if logical in _LOGICAL:
        return _LOGICAL[logical]
    if schema["type"] == "array":
        items = arrow_type(schema["items"])
        return pa.list_(items) if isinstance(schema["items"], str) and schema["items"] in _PLAIN else pa.string()
    return (
        arrow_type(schema["type"])
        if isinstance(schema["type"], (dict, list))
        else _PLAIN.get(schema["type"], pa.string())
    )


def told(value: Any, type: pa.DataType) -> Any:
    """Return a value for a column of a type: one that is no text becomes JSON in a column of texts."""
    if value is None or isinstance(value, str) or not pa.types.is_string(type):
        return value
    return json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
