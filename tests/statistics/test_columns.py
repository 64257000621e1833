"""The statistics of a column's sample, and correlations, at the edges of what a float holds."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from mainstem.settings import Profile, ProjectSettings, Serve, Settings
from mainstem.statistics.columns import column_statistics
from mainstem.statistics.correlations import correlations
from mainstem.statistics.exact import Counts


@pytest.mark.parametrize(
    ("values", "mean", "deviation"),
    [
        ([1e200, 3e200], 2e200, 1e200),
        ([-(2.0**1023), 2.0**1023], 0.0, 2.0**1023),
        ([float("inf"), 1.0, 3.0, float("nan")], 2.0, 1.0),
        ([5e-324, 5e-324], 5e-324, 0.0),
        ([0.0, 0.0], 0.0, 0.0),
        ([float("-inf")], None, None),
    ],
)
def test_moments_of_extreme_values(values: list[float], mean: float | None, deviation: float | None) -> None:
    found = column_statistics("float64", Counts(), pa.chunked_array([values]))
    assert (found.mean, found.deviation) == (mean and pytest.approx(mean), deviation and pytest.approx(deviation))


def test_a_correlation_of_extreme_values() -> None:
    huge = [n * 1e300 for n in range(-50, 50)]
    found = correlations(pa.table({"a": huge, "b": [-each for each in huge]}))
    assert [(each.columns, round(each.value, 9)) for each in found] == [(("a", "b"), -1.0)]


def test_extreme_values_are_collected_and_described(tmp_path: Path) -> None:
    rows = {
        "float": [1.7e308, -1.7e308, float("inf"), float("nan")] * 20,
        "int": [2**63 - 1, -(2**63), 0, 1] * 20,
        "day": [date(1, 1, 1), date(9999, 12, 31), date(2026, 1, 1), None] * 20,
        "tiny": pa.array([127, -128, 0, None] * 20, "int8"),
    }
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    settings = Settings(tmp_path, ProjectSettings("extremes", ()), Profile(), "default", Serve())
    with ms.Project(settings, {"rows": ms.files("rows.parquet")}) as project:
        project.run()
        described = {column.name: column for column in project.describe("rows").columns}
    assert (described["int"].statistics.low, described["int"].statistics.high) == (-(2**63), 2**63 - 1)
    assert described["float"].statistics.mean == 0.0
    assert described["float"].histogram is not None
