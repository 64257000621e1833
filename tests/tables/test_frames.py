"""Tables of functions over Arrow batches, and over Polars and pandas frames."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import mainstem as ms
from mainstem.errors import DefinitionError, MainstemError, MissingExtra, RunFailed, SchemaError
from mainstem.nodes.tables import Table

SCHEMA = {"id": "int64", "half": "float64"}
ROWS = [{"id": n, "n": n} for n in range(5)]
FACTOR = 0.5

Open = Callable[..., ms.Project]


def of_polars(numbers: pl.DataFrame) -> pl.LazyFrame:
    return numbers.lazy().select("id", half=pl.col("n") * FACTOR)


def of_pandas(numbers: pd.DataFrame) -> pd.DataFrame:
    return numbers.assign(half=numbers["n"] * FACTOR)[["half", "id"]]


def of_arrow(numbers: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    for batch in numbers:
        halves = [None if n is None else n * FACTOR for n in batch["n"].to_pylist()]
        yield pa.RecordBatch.from_pydict({"id": batch["id"], "half": pa.array(halves, pa.float64())})


@pytest.fixture
def shop() -> Iterator[Open]:
    opened = []

    def open(function: Callable[..., Any], using: Any, schema: dict[str, str] = SCHEMA, rows: Any = ROWS) -> ms.Project:
        table: Table = ms.table(using=using, schema=schema, key="id", name="halves")(function)
        numbers = ms.files("n.parquet", schema={"id": "int64", "n": "int64"}, known="always")
        opened.append(ms.testing.project({"numbers": numbers, "halves": table}, {"numbers": rows}))
        return opened[-1].__enter__()

    yield open
    for each in opened:
        each.__exit__(None, None, None)


def failure(project: ms.Project) -> MainstemError:
    with pytest.raises(RunFailed) as failed:
        project.run()
    return failed.value.causes[0]


@pytest.mark.parametrize(("function", "using"), [(of_polars, "polars"), (of_pandas, "pandas"), (of_arrow, "arrow")])
def test_a_function_of_frames_is_a_table(shop: Open, function: Callable[..., Any], using: str) -> None:
    project = shop(function, using)
    project.run()
    assert project.table("halves").to_pyarrow().to_pylist() == [{"id": n, "half": n / 2} for n in range(5)]
    assert not project.plan()
    assert "cannot be traced" in str(project.graph["halves"].known["half"])


def test_batches_are_streamed(shop: Open) -> None:
    sizes: list[int] = []

    def counted(numbers: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        for batch in numbers:
            sizes.append(batch.num_rows)
            yield pa.RecordBatch.from_pydict({"id": batch["id"], "half": batch["n"].cast(pa.float64())})

    project = shop(counted, "arrow", rows=pa.table({"id": range(300_000), "n": range(300_000)}))
    project.run()
    assert len(sizes) > 2 and sum(sizes) == 300_000
    assert project.table("halves").to_pyarrow().num_rows == 300_000


def test_two_readers_are_read_side_by_side() -> None:
    def both(a: pa.RecordBatchReader, b: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        for one, other in zip(a, b, strict=True):
            yield pa.RecordBatch.from_pydict({"x": one["x"], "y": other["x"]})

    source = {"a": ms.files("a.parquet", schema={"x": "int64"}), "b": ms.files("b.parquet", schema={"x": "int64"})}
    table = ms.table(using="arrow", schema={"x": "int64", "y": "int64"})(both)
    rows = pa.table({"x": range(200_000)})
    with ms.testing.project({**source, "both": table}, {"a": rows, "b": rows}) as project:
        project.run()
        same = project.query('SELECT count(*) AS n, count(*) FILTER (x = y) AS same FROM "both"').to_pylist()
        assert same == [{"n": 200_000, "same": 200_000}]


@pytest.mark.parametrize(
    ("returned", "using", "what", "got"),
    [
        (lambda numbers: None, "polars", "the function does not return what using='polars' requires", "None; the"),
        (lambda numbers: pl.Series([1]), "polars", "the function does not return what", "a Series"),
        (lambda numbers: 5, "arrow", "the function does not return what using='arrow' requires", "a int"),
        (lambda numbers: iter([5]), "arrow", "the function does not return what using='arrow' requires", "a int"),
        (lambda numbers: numbers, "pandas", "the function's result does not fit `schema`", "no column 'half'"),
        (
            lambda numbers: numbers.assign(half="x", more=1).drop(columns="n"),
            "pandas",
            "the function's result does not fit `schema`",
            "the column 'more', which is not declared; 'half' of type string",
        ),
        (
            lambda numbers: numbers.select(pl.col("id").cast(pl.Float64), half=1.0),
            "polars",
            "the function's result does not fit `schema`",
            "'id' of type float64",
        ),
        (lambda numbers: 1 / 0, "pandas", "the function failed", "ZeroDivisionError: division by zero"),
        (lambda numbers: (1 / 0 for _ in numbers), "arrow", "the function failed", "ZeroDivisionError"),
    ],
)
def test_a_wrong_result_fails_at_the_function(
    shop: Open, returned: Callable[..., Any], using: str, what: str, got: str
) -> None:
    cause = failure(shop(returned, using))
    assert cause.what.startswith(what) and str(cause.got).startswith(got)
    assert "halves (test_frames.py:" in str(cause.where)


@pytest.mark.parametrize(("function", "using"), [(of_polars, "polars"), (of_arrow, "arrow")])
def test_the_result_of_a_function_is_cleaned(function: Callable[..., Any], using: Any) -> None:
    cleaning = [ms.clean.clip("half", high=1.0)]
    table = ms.table(using=using, schema=SCHEMA, key="id", clean=cleaning, name="halves")(function)
    numbers = ms.files("n.parquet", schema={"id": "int64", "n": "int64"})
    with ms.testing.project({"numbers": numbers, "halves": table}, {"numbers": ROWS}) as project:
        project.run()
        assert project.table("halves").to_pyarrow()["half"].to_pylist() == [0.0, 0.5, 1.0, 1.0, 1.0]


def test_narrower_types_are_widened(shop: Open) -> None:
    project = shop(lambda numbers: numbers.select(pl.col("id").cast(pl.Int16), half=pl.lit(1, pl.Int32)), "polars")
    project.run()
    assert project.table("halves").to_pyarrow().schema.types == [pa.int64(), pa.float64()]


def test_a_missing_package_is_refused_when_the_project_loads(shop: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(MissingExtra, match="polars is not installed") as error:
        shop(of_polars, "polars").plan()
    assert error.value.hint == "pip install polars"


@pytest.mark.parametrize("schema", [{"id": "struct<a: int64>"}, {"id": "timestamp(6)"}, {"_id": "int64"}])
def test_a_schema_that_cannot_be_stored_is_refused_when_the_project_loads(shop: Open, schema: dict[str, str]) -> None:
    with pytest.raises(SchemaError) as error:
        shop(of_polars, "polars", {"id": "int64", **schema}).plan()
    assert "test_frames.py:" in str(error.value.where)


@pytest.mark.parametrize("more", [{"using": "polars"}, {"schema": SCHEMA}])
def test_using_and_schema_belong_together(more: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="belong together"):
        ms.table(of_polars, **more)
