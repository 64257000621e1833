"""NaN in what a model's target, weight, groups, split and query read is null, whoever computes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest
from ibis import _

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.engines.spark.engine import SparkEngine
from mainstem.features.dataset import dataset
from mainstem.features.rowwise.on_demand import compile_on_demand
from mainstem.features.targets import given_of
from mainstem.project.resolve import resolve
from spark_session import WARNINGS

pytestmark = WARNINGS

NAN = float("nan")
SCHEMA = {"id": "int64", "x": "float64", "y": "float64", "z": "float32"}
ROWS = [
    {"id": 0, "x": 20.0, "y": 1.0, "z": 2.0},
    {"id": 1, "x": 10.0, "y": NAN, "z": NAN},
    {"id": 2, "x": NAN, "y": 0.0, "z": 1.0},
    {"id": 3, "x": None, "y": None, "z": None},
]
EXPECTED: list[tuple[Any, list[Any]]] = [
    (_.x > 15, [True, False, None, None]),
    (~(_.x <= 15), [True, False, None, None]),
    (_.x != 10, [True, False, None, None]),
    (_.x.between(5, 15), [False, True, None, None]),
    (_.x.isin([10.0, 20.0]), [True, True, None, None]),
    ((_.x > 15) | (_.y > 0), [True, None, None, None]),
    (_.x.notnull(), [True, True, False, False]),
    (_.x.isnan(), [False, False, True, None]),
    (_.x.fill_null(99.0) > 15, [True, False, True, True]),
    (_.x - _.x > -1, [True, True, None, None]),
    (_.z > 1, [True, None, False, None]),
    (_.x, [20.0, 10.0, None, None]),
    (ibis.ifelse(_.x > 15, "late", "on time"), ["late", "on time", "on time", "on time"]),
]


def by_engine(engine: Any) -> list[list[Any]]:
    table = ibis.table(SCHEMA, name="rows")
    with engine.session({}) as session:
        session.add("rows", pa.Table.from_pylist(ROWS, schema=ibis.schema(SCHEMA).to_pyarrow()))
        made = {f"v{n}": given_of(table, value) for n, (value, _) in enumerate(EXPECTED)}
        found = session.fetch(table.select("id", **made)).sort_by("id")
    return [found[name].to_pylist() for name in made]


def by_row() -> list[list[Any]]:
    function = compile_on_demand(
        {f"v{n}": lambda row, value=value: given_of(row, value) for n, (value, _) in enumerate(EXPECTED)}, SCHEMA
    )
    found = [function(row) for row in ROWS]
    return [[row[f"v{n}"] for row in found] for n in range(len(EXPECTED))]


@pytest.mark.parametrize("way", ["duckdb", "spark", "row"])
def test_every_interpreter_reads_null(tmp_path: Path, way: str) -> None:
    found = {
        "duckdb": lambda: by_engine(DuckdbEngine()),
        "spark": lambda: by_engine(SparkEngine("local[2]", directory=tmp_path)),
        "row": by_row,
    }[way]()
    wrong = {str(value): made for made, (value, right) in zip(found, EXPECTED, strict=True) if made != right}
    assert not wrong


def test_what_a_dataset_holds_beside_its_features() -> None:
    source = ms.files("rows.parquet", key="id", schema=SCHEMA)
    given = {"weight": "x", "groups": _.x > 15, "split": _.y > 0}
    model = ms.model(source, target=_.x > 15, features=["z"], **given)
    ranked = ms.model(source, target="y", features=["z"], query="x", task="ranking")
    graph = resolve({"rows": source, "late": model, "order": ranked}, {})
    rows = pa.Table.from_pylist(ROWS, schema=ibis.schema(SCHEMA).to_pyarrow())
    with DuckdbEngine().session({}) as session:
        session.add("rows", rows)
        late, order = (session.fetch(dataset(graph, name)).sort_by("id").to_pydict() for name in ("late", "order"))
    assert late["_target"] == [True, False, None, None] == late["_group"]
    assert late["_weight"] == [20.0, 10.0, None, None] == order["_query"]
    assert late["_part"] == [True, None, False, None]
    assert order["_target"] == [1.0, None, 0.0, None]


def test_rows_with_nan_are_counted_as_unlabelled() -> None:
    source = ms.files("rows.parquet", key="id", schema=SCHEMA)
    model = ms.model(source, target=_.x > 15, features=["z"], candidates=["linear"])
    rows = [{"id": n, "x": NAN if n % 4 == 0 else float(n % 30), "y": 0.0, "z": float(n % 7)} for n in range(200)]
    with ms.testing.project({"rows": source, "late": model}, {"rows": rows}) as project:
        run = project.run()
        (version,) = (each for each in project.show("late").versions)
        assert version["id"] == "late-1"
        assert project.show("late").card["rows"]["unlabelled"] == 50
        assert "50 unlabelled" in next(step.message for step in run.steps if step.kind == "train")
