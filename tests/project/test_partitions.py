"""Each part of a partitioned table has files of its own, for Mainstem and for readers outside."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import DefinitionError, RunFailed, SchemaError, UnknownName
from mainstem.ports import Partition
from mainstem.project.project import Project
from mainstem.settings import Profile, ProjectSettings, Serve, Settings
from mainstem.tables.parts import part_of
from mainstem.tables.sql_files import parse_file

Parted = Callable[..., Project]
BY = ["country", "month(sold_at)"]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Parted]:
    made: list[Project] = []

    def open_project(partition: Any = BY, **more: Any) -> Project:
        sales = ms.files("sales/*.parquet", key="id", time="sold_at", known={"*": "sold_at"})

        @ms.table(key="id", time="sold_at", partition=partition, **more)
        def orders(sales: Any) -> Any:
            return sales.filter(_.id >= 0)

        settings = Settings(tmp_path, ProjectSettings("shop", ()), Profile(), "default", Serve())
        made.append(ms.Project(settings, {"sales": sales, "orders": orders}))
        return made[-1]

    yield open_project
    for project in made:
        project.close()


def add(root: Path, name: str, seed: int, count: int = 400) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    rows = [
        {
            "id": seed * 10_000 + n,
            "country": draw.choice(["DE", "FR", "x" * 250, "", "ü/=%", None]),
            "sold_at": datetime(2025, 11, 1, tzinfo=UTC) + timedelta(minutes=draw.randint(0, 200_000)),
            "day": date(2025, 12, 30) + timedelta(days=draw.randint(0, 3)),
            "paid": draw.choice([True, False, None]),
        }
        for n in range(count)
    ]
    (root / "sales").mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), root / "sales" / f"{name}.parquet")
    return rows


def stored(project: Project) -> list[Any]:
    return sorted(project.table("orders").to_pyarrow().to_pylist(), key=lambda row: row["id"])


def parts(project: Project) -> dict[Any, list[dict[str, Any]]]:
    """The rows of each file, by what the file's name in the lake is known to have in common."""
    snapshot = project.release.tables["orders"]
    found: dict[Any, list[dict[str, Any]]] = {}
    for path in project.adapters.lake.scan(snapshot).files:
        found.setdefault(part_of(path, snapshot.partition), []).extend(pq.read_table(path).to_pylist())
    return found


def of(row: dict[str, Any]) -> Any:
    return row["country"], row["sold_at"].timetuple()[:2]


def test_every_file_has_one_part_and_no_row_is_lost(opened: Parted, tmp_path: Path) -> None:
    project, rows = opened(), add(tmp_path, "a", 1)
    project.run()
    assert stored(project) == rows
    assert parts(project).keys() == {of(row) for row in rows}
    for part, theirs in parts(project).items():
        assert {of(row) for row in theirs} == {part}


def test_new_rows_are_appended_and_small_files_merged_by_part(opened: Parted, tmp_path: Path) -> None:
    project, rows = opened(), add(tmp_path, "a", 1)
    project.run()
    rows += add(tmp_path, "b", 2)
    project.run()
    rows += add(tmp_path, "c", 3, 1)
    project.run()
    snapshot = project.release.tables["orders"]
    assert len(project.adapters.lake.scan(snapshot).files) > len(parts(project))
    project.compact()
    merged = project.release.tables["orders"]
    assert len(project.adapters.lake.scan(merged).files) == len(parts(project)) and stored(project) == rows
    assert project.compact() == (), "there is nothing left to merge"
    project.erase("country", "FR")
    assert stored(project) == [row for row in rows if row["country"] != "FR"]
    assert project.release.tables["orders"].partition == (
        Partition("country"),
        Partition("sold_at", "month"),
    )


def test_readers_outside_skip_other_parts(opened: Parted, tmp_path: Path) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    project, rows = opened(), add(tmp_path, "a", 1)
    project.run()
    catalog = SqlCatalog("mainstem", uri=f"sqlite:///{tmp_path}/.mainstem/lake/catalog.db")
    table = catalog.load_table("main.orders")
    assert [str(field.transform) for field in table.spec().fields] == ["identity", "month"]
    every = list(table.scan().plan_files())
    asked = table.scan(row_filter="country == 'DE' and sold_at >= '2026-02-01T00:00:00+00:00'")
    late = datetime(2026, 2, 1, tzinfo=UTC)
    assert 0 < len(list(asked.plan_files())) < len(every) / 4
    assert asked.to_arrow().num_rows == sum(row["country"] == "DE" and row["sold_at"] >= late for row in rows)
    catalog.engine.dispose()


@pytest.mark.parametrize("by", ["day", "year(day)", "month(day)", "day(sold_at)", "hour(sold_at)", "paid", "id"])
def test_each_kind_of_partition(opened: Parted, tmp_path: Path, by: str) -> None:
    project, rows = opened(by), add(tmp_path, "a", 1, 60)
    project.run()
    assert stored(project) == rows
    (part,) = project.release.tables["orders"].partition

    def common(row: dict[str, Any]) -> Any:
        value = row[part.column]
        lengths = {"year": 1, "month": 2, "day": 3, "hour": 4}
        return value if part.unit == "value" else value.timetuple()[: lengths[part.unit]]

    for (value,), theirs in parts(project).items():
        assert {common(row) for row in theirs} == {value}


def test_another_partition_takes_effect_when_the_table_is_built_next(opened: Parted, tmp_path: Path) -> None:
    rows = add(tmp_path, "a", 1)
    opened().run()
    project = opened("paid")
    assert not project.run().steps
    assert len(parts(project)) > 3
    rows += add(tmp_path, "b", 2)
    project.run()
    assert stored(project) == rows and len(parts(project)) == 3


def test_no_rows_are_no_files(opened: Parted, tmp_path: Path) -> None:
    project = opened()
    (tmp_path / "sales").mkdir()
    empty = pa.Table.from_pylist(add(tmp_path, "a", 1)[:0], schema=pq.read_schema(tmp_path / "sales" / "a.parquet"))
    pq.write_table(empty, tmp_path / "sales" / "a.parquet")
    project.run()
    assert stored(project) == [] and parts(project) == {}


@pytest.mark.parametrize(
    ("partition", "kind", "said"),
    [
        ("county", UnknownName, "did you mean 'country'"),
        ("sold_at", SchemaError, 'partition="month\\(sold_at\\)"'),
        ("hour(day)", SchemaError, "'day' has no hour"),
        ("year(country)", SchemaError, "'country' has no year"),
    ],
)
def test_a_partition_that_does_not_fit_is_refused(
    opened: Parted, tmp_path: Path, partition: str, kind: type[Exception], said: str
) -> None:
    add(tmp_path, "a", 1)
    with pytest.raises(kind, match=said):
        opened(partition).plan()


@pytest.mark.parametrize(
    "more", [{"sort": "id"}, {"incremental": "sold_at"}, {"write": "merge"}, {"key": "id", "versions": True}]
)
def test_a_partition_beside_an_order_or_replaced_rows_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="`partition` does not go with"):
        ms.table(**({"key": "id", "partition": "paid"} | more))


def test_a_text_that_is_too_long_is_refused_and_nothing_is_lost(opened: Parted, tmp_path: Path) -> None:
    rows = add(tmp_path, "a", 1)
    project = opened()
    project.run()
    long = [rows[0] | {"id": 9, "country": "x" * 257}]
    pq.write_table(pa.Table.from_pylist(long), tmp_path / "sales" / "b.parquet")
    with pytest.raises(RunFailed, match="a partition has a text that is too long"):
        project.run()
    assert stored(project) == rows


def test_sql_declares_it_in_a_comment(tmp_path: Path) -> None:
    file = tmp_path / "orders.sql"
    file.write_text("-- partition: country, month(sold_at)\nSELECT * FROM sales")
    assert parse_file(file).partition == (Partition("country"), Partition("sold_at", "month"))
