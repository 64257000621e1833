"""The types that definitions may have are those that the lake stores."""

import ibis
import pytest

from mainstem.errors import SchemaError
from mainstem.lake.schema import fields_of, iceberg_schema
from mainstem.nodes.storable import is_storable

STORED = [
    *("boolean", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"),
    *("decimal(12, 3)", "string", "json", "binary", "uuid", "date", "time", "timestamp", "timestamp('UTC', 6)"),
    *("array<int64>", "array<string>", "array<timestamp('UTC', 6)>"),
]
REFUSED = [
    "struct<a:int64>",
    "map<string,int64>",
    "array<struct<a:int64>>",
    "array<array<int64>>",
    "interval('s')",
    "null",
    "float16",
    "inet",
    "point",
]


@pytest.mark.parametrize("type", STORED)
def test_what_the_lake_stores(type: str) -> None:
    assert is_storable(ibis.dtype(type))
    assert len(iceberg_schema(fields_of({"c": type})).fields) == 1


@pytest.mark.parametrize("type", REFUSED)
def test_what_it_does_not_store(type: str) -> None:
    assert not is_storable(ibis.dtype(type))
    with pytest.raises(SchemaError, match="column 'c' of type"):
        iceberg_schema(fields_of({"c": type}))
