"""Casts to text give the same text on Spark as on the embedded engine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import ibis
import pyarrow as pa
import pytest

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.engines.spark.engine import SparkEngine
from mainstem.ports import Field, Scan, Target
from spark_session import WARNINGS

pytestmark = WARNINGS

FRACTIONS = {
    1.0: "1.0",
    -28.65: "-28.65",
    12345678.9: "12345678.9",
    -1e7: "-10000000.0",
    123456789012345.6: "123456789012345.6",
    1e15: "1000000000000000.0",
    1e16: "1e+16",
    -1.5e20: "-1.5e+20",
    1.25e100: "1.25e+100",
    0.001: "0.001",
    0.00012345678901234567: "0.00012345678901234567",
    1e-5: "1e-05",
    -2.5e-300: "-2.5e-300",
    0.0: "0.0",
    float("inf"): "inf",
    float("-inf"): "-inf",
}
INSTANTS = {
    datetime(2024, 3, 8, 14, 45, tzinfo=UTC): "2024-03-08 14:45:00+00",
    datetime(2024, 3, 8, 14, 45, 1, 500_000, tzinfo=UTC): "2024-03-08 14:45:01.5+00",
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC): "1969-12-31 23:59:59.999999+00",
}
COLUMNS = {
    "doubles": (pa.array([*FRACTIONS, float("nan"), None], pa.float64()), [*FRACTIONS.values(), "nan", None]),
    "singles": (
        pa.array([1.0, 12345678.0, 1e10, 0.1, 3e-5, None], pa.float32()),
        ["1.0", "12345678.0", "10000000000.0", "0.1", "3e-05", None],
    ),
    "instants": (pa.array([*INSTANTS, None], pa.timestamp("us", "UTC")), [*INSTANTS.values(), None]),
    "local": (pa.array([datetime(2024, 3, 8, 14, 45)], pa.timestamp("us")), ["2024-03-08 14:45:00"]),
    "whole": (pa.array([7, -(2**63)], pa.int64()), ["7", "-9223372036854775808"]),
    "yes": (pa.array([True, False], pa.bool_()), ["true", "false"]),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_text_is_the_same_on_both_engines(column: str, tmp_path: Path) -> None:
    values, expected = COLUMNS[column]
    table = pa.table({"n": list(range(len(values))), "x": values})
    for engine in (DuckdbEngine(), SparkEngine("local[2]", directory=tmp_path)):
        with engine.session({"rows": table}) as session:
            rows = ibis.table(ibis.Schema.from_pyarrow(table.schema), name="rows")
            found = session.fetch(rows.order_by("n").select(text=rows.x.cast("string")))
        assert found["text"].to_pylist() == expected


@pytest.mark.parametrize("column", ["doubles", "instants"])
def test_a_text_that_is_written_or_read_from_numbers_is_the_same(column: str, tmp_path: Path) -> None:
    values, expected = COLUMNS[column]
    table = pa.table({"n": list(range(len(values))), "x": values})
    spark = SparkEngine("local[2]", directory=tmp_path)
    for engine in (DuckdbEngine(), spark):
        wanted = (Field(1, "n", "int64"), Field(2, "x", "string"))
        numbers = (wanted[0], Field(2, "x", str(ibis.dtype(values.type))))
        written = []
        for number, fields in enumerate((wanted, numbers)):  # of numbers as before the column became text
            with engine.session({"rows": table}) as session:
                written.append(session.write("SELECT n, x FROM rows", Target(str(tmp_path / str(number)), fields)))
        for files in written:
            scan = Scan(tuple(file.path for file in files), wanted, len(values))
            with engine.session({"stored": scan}) as session:
                found = session.fetch("SELECT x FROM stored ORDER BY n")
            assert found["x"].to_pylist() == expected
