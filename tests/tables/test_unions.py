"""Unions of unlike schemas."""

from __future__ import annotations

from decimal import Decimal

import ibis
import pyarrow as pa
import pytest

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import DefinitionError, SchemaError
from mainstem.tables.unions import wider

INSTANT, COARSE = "timestamp('UTC', 6)", "timestamp('UTC', 3)"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("int64", "float64", "float64"),
        ("int64", "float32", "float64"),
        ("float32", "float32", "float32"),
        ("int32", "int64", "int64"),
        ("uint8", "int8", "int16"),
        ("uint32", "int32", "int64"),
        ("uint64", "int64", None),
        ("uint64", "uint8", "uint64"),
        ("decimal(10, 2)", "decimal(8, 4)", "decimal(12, 4)"),
        ("int64", "decimal(10, 2)", "decimal(21, 2)"),
        ("decimal(38, 2)", "decimal(38, 4)", None),
        ("decimal(10, 2)", "float64", "float64"),
        ("string", "string", "string"),
        ("null", "date", "date"),
        (INSTANT, COARSE, INSTANT),
        (INSTANT, "timestamp(6)", None),
        ("date", INSTANT, None),
        ("string", "int64", None),
        ("boolean", "int64", None),
        ("json", "string", None),
        ("array<int64>", "array<float64>", None),
    ],
)
def test_types_are_reconciled_or_refused(one: str, other: str, expected: str | None) -> None:
    for a, b in ((one, other), (other, one)):
        found = wider(ibis.dtype(a), ibis.dtype(b))
        assert found == (None if expected is None else ibis.dtype(expected))
        if found is None:
            with pytest.raises(SchemaError, match="the column 'x' has unlike types") as error:
                ms.union(ibis.table({"x": a}, name="a"), ibis.table({"x": b}, name="b"))
            assert str(error.value.where).startswith("test_unions.py:")


def test_rows_are_matched_by_name() -> None:
    tables = {
        "a": pa.table({"id": [1, 2], "amount": [5, 6], "old": ["x", None]}),
        "b": pa.table({"amount": [1.5], "id": [3], "new": pa.array([Decimal("2.50")], pa.decimal128(5, 2))}),
        "c": pa.table({"id": [4], "new": [7]}),
    }
    united = ms.union(*(ibis.table(ibis.Schema.from_pyarrow(rows.schema), name=name) for name, rows in tables.items()))
    assert {name: str(type) for name, type in united.schema().items()} == {
        "id": "int64",
        "amount": "float64",
        "old": "string",
        "new": "decimal(21, 2)",
    }
    with DuckdbEngine().session(tables) as session:
        rows = sorted(session.fetch(united).to_pylist(), key=lambda row: row["id"])
    assert rows == [
        {"id": 1, "amount": 5.0, "old": "x", "new": None},
        {"id": 2, "amount": 6.0, "old": None, "new": None},
        {"id": 3, "amount": 1.5, "old": None, "new": Decimal("2.50")},
        {"id": 4, "amount": None, "old": None, "new": Decimal("7.00")},
    ]


def test_equal_rows_stay() -> None:
    rows = ibis.memtable(pa.table({"a": [1, 1]}))
    assert ms.union(rows, rows).to_pyarrow()["a"].to_pylist() == [1, 1, 1, 1]


@pytest.mark.parametrize("given", [(), ("a",), (None, None)])
def test_what_is_no_union(given: tuple[object, ...]) -> None:
    with pytest.raises(DefinitionError):
        ms.union(*given)  # type: ignore[arg-type]
