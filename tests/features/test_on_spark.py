"""The point-in-time join on Spark against the oracle: a few views in every run, all in the long form.

The dataset of a forecast is the same on both engines.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest
from ibis import _

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.engines.queries import read_by, teach
from mainstem.engines.spark.compiler import compiler
from mainstem.engines.spark.engine import SparkEngine
from mainstem.features.dataset import dataset
from mainstem.project.resolve import resolve
from mainstem.testing.contracts.features import every_history
from mainstem.testing.histories import Case
from mainstem.testing.interpreters import offline
from mainstem.testing.views import VIEWS
from spark_session import WARNINGS

QUICK = ("latest", "global_latest", "sums")
HISTORIES = 3

pytestmark = WARNINGS


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in VIEWS])
def test_spark_sees_what_the_oracle_sees(tmp_path: Path, name: str) -> None:
    case = Case.of(VIEWS[name](), every_history()[:HISTORIES])
    unlike = case.unlike(offline(SparkEngine("local[2]", directory=tmp_path)))
    assert case.values and not unlike, "\n".join(unlike[:20])


def forecast() -> tuple[ibis.Table, pa.Table]:
    """Return the dataset of a forecast, and rows of its source."""
    schema = {"shop": "string", "day": "timestamp('UTC', 6)", "units": "float64"}
    known = {"*": "day", "units": _.day + ibis.interval(hours=22)}
    sales = ms.files("sales.parquet", key=["shop", "day"], time="day", schema=schema, known=known)
    past = ms.feature_view(sales, key="shop", windows=["7d"], mean=_.units.mean())
    asked = _.day + ibis.interval(days=1)
    model = ms.model(
        sales, target=_.units, prediction_time=asked, series="shop", horizons=["1d", "7d"], features=[past]
    )
    graph = resolve({"sales": sales, "past": past, "demand": model}, {})
    rows = [
        {"shop": shop, "day": datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=n), "units": float(n % 7), "_seq": n}
        for n in range(30)
        for shop in ("a", "b")
    ]
    types = ibis.schema(dict(graph["sales"].schema or {})).to_pyarrow()
    return dataset(graph, "demand"), pa.Table.from_pylist(rows, schema=types)


def test_spark_makes_the_dataset_of_a_forecast_that_duckdb_makes(tmp_path: Path) -> None:
    query, rows = forecast()
    found: list[list[dict[str, Any]]] = []
    for engine in (SparkEngine("local[2]", directory=tmp_path), DuckdbEngine()):
        with engine.session({}) as session:
            session.add("sales", rows)
            made = session.fetch(query).to_pylist()
        found.append(sorted(made, key=lambda row: (row["_t"], row["shop"], row["horizon"])))
    spark, duckdb = found
    assert len(spark) == 120 and any(row["_target"] is not None for row in spark)
    for one, other in zip(spark, duckdb, strict=True):
        assert one == {n: pytest.approx(v, rel=1e-9) if isinstance(v, float) else v for n, v in other.items()}


def test_a_table_is_read_once_for_each_place_in_a_query() -> None:
    teach()
    tables = read_by(compiler().to_sqlglot(forecast()[0]))
    assert {table.name for table in tables} == {"sales"} and len({id(table) for table in tables}) == len(tables)
