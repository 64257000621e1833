"""Exact counts equal those of plain Python, whatever the values, also where a footer has no extremes."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.nodes.statistics import ColumnStatistics
from mainstem.ports import Field, Target
from mainstem.statistics.columns import column_statistics
from mainstem.statistics.exact import LONGEST, count_files, merged

COLUMNS: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "i": ("int64", st.integers(-(2**63), 2**63 - 1)),
    "f": ("float64", st.floats(allow_subnormal=False)),
    "g": ("float32", st.floats(width=32, allow_nan=True)),
    "s": ("string", st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)),
    "b": ("boolean", st.booleans()),
    "d": ("date", st.dates()),
    "t": ("timestamp('UTC', 6)", st.datetimes(timezones=st.just(UTC))),
    "c": ("decimal(18, 3)", st.decimals(-1000, 1000, places=3)),
}
FIELDS = tuple(Field(number, name, type) for number, (name, (type, _)) in enumerate(COLUMNS.items(), 1))
ROWS = st.lists(st.fixed_dictionaries({name: st.none() | values for name, (_, values) in COLUMNS.items()}), max_size=12)


@pytest.fixture(scope="module")
def engine() -> DuckdbEngine:
    return DuckdbEngine(threads=1)


def write(engine: DuckdbEngine, directory: Path, rows: list[dict[str, Any]], fields: tuple[Field, ...] = FIELDS) -> Any:
    schema = ibis.schema({field.name: field.type for field in fields})
    with engine.session({"rows": pa.Table.from_pylist(rows, schema=schema.to_pyarrow())}) as session:
        return [file.path for file in session.write(ibis.table(schema, name="rows"), Target(str(directory), fields))]


def oracle(values: list[Any]) -> tuple[int, int, Any, Any]:
    there = [value for value in values if value is not None]
    told = [value for value in there if not (isinstance(value, float) and math.isnan(value))]
    return len(values) - len(there), len(there) - len(told), min(told, default=None), max(told, default=None)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=ROWS, more=ROWS)
def test_counts_are_those_of_plain_python(
    engine: DuckdbEngine, tmp_path: Path, rows: list[dict[str, Any]], more: list[dict[str, Any]]
) -> None:
    first, second = write(engine, tmp_path, rows), write(engine, tmp_path, more)
    together = count_files([*first, *second], FIELDS)
    kept = count_files(first, FIELDS)
    before = {f.name: column_statistics(f.type, kept[f.name], pa.chunked_array([[]], "int64")) for f in FIELDS}
    added = merged(before, count_files(second, FIELDS))
    for name in COLUMNS:
        wanted = oracle([row[name] for row in (*rows, *more)])
        for found in (together[name], added[name]):
            assert (found.nulls, found.nans, found.low, found.high) == wanted


def test_a_long_text_leaves_out_both_extremes_also_of_later_rows(engine: DuckdbEngine, tmp_path: Path) -> None:
    fields = (Field(1, "s", "string"),)
    files = write(engine, tmp_path, [{"s": "a"}, {"s": "z" * (LONGEST + 1)}], fields)
    counts = count_files(files, fields)["s"]
    assert (counts.nulls, counts.low, counts.high) == (0, None, None)
    before = {"s": column_statistics("string", counts, pa.chunked_array([["a"]]))}
    both = merged(before, count_files(write(engine, tmp_path, [{"s": "b"}, {"s": None}], fields), fields))["s"]
    assert (both.nulls, both.low, both.high) == (1, None, None)


def test_nulls_of_arrays_are_not_counted(engine: DuckdbEngine, tmp_path: Path) -> None:
    fields = (Field(1, "a", "array<int64>"), Field(2, "i", "int64"))
    files = write(engine, tmp_path, [{"a": [1, None], "i": 1}, {"a": None, "i": None}], fields)
    counts = count_files(files, fields)
    assert counts["a"].nulls is None
    assert counts["i"].nulls == 1


def test_values_are_kept_as_json_has_them() -> None:
    from mainstem.statistics.exact import Counts, counts_of

    for type, low, high in [
        ("decimal(18, 3)", Decimal("-2.500"), Decimal("10.000")),
        ("date", date(2013, 1, 1), date(2013, 12, 31)),
        ("timestamp('UTC', 6)", datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC) + timedelta(1)),
    ]:
        kept = column_statistics(type, Counts(0, 0, low, high), pa.chunked_array([[]], "int64"))
        assert isinstance(kept.low, str)
        assert (counts_of(kept).low, counts_of(kept).high) == (low, high)
    assert counts_of(ColumnStatistics("float64", 0, low="-Infinity", high=1.0)).low == -math.inf
