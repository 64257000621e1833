"""Statistics are kept with the snapshot: published or not with it, and still there after a rollback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import NotFound, RunFailed, UnknownName
from mainstem.nodes.statistics import Statistics
from mainstem.project.project import Project
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

NOON = datetime(2013, 12, 1, 12, tzinfo=UTC)

orders = ms.files(
    "orders/*.csv",
    time="at",
    known="always",
    schema={"id": "int64", "amount": "float64", "city": "string", "at": "timestamp('UTC', 6)"},
)


@ms.table(key="id", checks=[ms.between("amount", 0, 1_000), ms.not_null("city", severity="quarantine")])
def sales(orders: Any) -> Any:
    return orders.mutate(double=_.amount * 2)


clicks = ms.stream("clicks", schema={"page": "string", "at": "timestamp('UTC', 6)"}, time="at")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    settings = Settings(tmp_path, ProjectSettings("test", ()), Profile(), "default", Serve())
    with Project(settings, {"orders": orders, "sales": sales, "clicks": clicks}) as made:
        yield made


def deliver(project: Project, name: str, ids: range, amount: float | None = 5.0, city: str | None = "Ulm") -> None:
    rows = [{"id": i, "amount": amount, "city": city, "at": NOON + timedelta(minutes=i)} for i in ids]
    (project.settings.root / "orders").mkdir(exist_ok=True)
    schema = pa.schema([("id", "int64"), ("amount", "float64"), ("city", "string"), ("at", pa.timestamp("us", "UTC"))])
    csv.write_csv(pa.Table.from_pylist(rows, schema=schema), project.settings.root / "orders" / f"{name}.csv")


def test_a_run_keeps_the_statistics_of_sources_and_tables(project: Project) -> None:
    deliver(project, "one", range(100))
    deliver(project, "two", range(100, 110), city=None)
    project.run()
    found = project.statistics("orders")
    assert (found.rows, found.sample.rows, found.sample.whole) == (110, 110, True)
    assert set(found.columns) == {"id", "amount", "city", "at"}
    assert (found.columns["city"].nulls, found.columns["city"].distinct) == (10, 1)
    assert (found.columns["id"].low, found.columns["id"].high) == (0, 109)
    assert found.columns["at"].high == "2013-12-01T13:49:00.000000+00:00"
    built = project.statistics("sales")
    assert (built.rows, built.columns["city"].nulls) == (100, 0)
    assert built.columns["double"].quantiles == (10.0,) * 7
    assert [(level.value, level.rows) for level in built.columns["city"].frequent] == [("Ulm", 100)]
    with pytest.raises(UnknownName):
        project.statistics("nothing")
    with pytest.raises(NotFound):
        project.statistics("quarantine.sales")


def test_files_with_and_without_nulls_are_counted_together(project: Project) -> None:
    deliver(project, "one", range(50))
    project.run()
    deliver(project, "two", range(50, 60), city=None)
    project.run()
    assert project.statistics("orders").columns["city"].nulls == 10


def test_what_is_added_is_counted_with_what_stays(project: Project) -> None:
    deliver(project, "one", range(50), amount=None)
    project.run()
    deliver(project, "two", range(50, 80), amount=7.0, city="Bonn")
    project.run()
    found = project.statistics("orders")
    assert (found.rows, found.sample.whole) == (80, True)
    amount, city = found.columns["amount"], found.columns["city"]
    assert (amount.nulls, amount.low, amount.high, amount.mean) == (50, 7.0, 7.0, 7.0)
    assert {level.value: level.rows for level in city.frequent} == {"Ulm": 50, "Bonn": 30}
    deliver(project, "one", range(20), amount=9.0)
    project.run()
    assert project.statistics("orders").columns["amount"].nulls == 0
    assert project.statistics("orders").rows == project.table("orders").to_pyarrow().num_rows


def test_a_run_that_fails_keeps_none_and_a_rollback_brings_back_the_earlier_ones(project: Project) -> None:
    deliver(project, "one", range(50))
    project.run()
    first = project.statistics("sales")
    deliver(project, "two", range(50, 60), amount=-1.0)
    with pytest.raises(RunFailed):
        project.run()
    assert project.statistics("sales") == first
    assert len(project.adapters.state.find(Statistics, table="sales")) == 1
    deliver(project, "two", range(50, 60), amount=1.0)
    project.run()
    assert project.statistics("sales").columns["amount"].low == 1.0
    project.rollback()
    assert project.statistics("sales") == first


def test_a_stream_that_is_drained_is_counted(project: Project) -> None:
    deliver(project, "one", range(5))
    project.run()
    for page in ("home", "cart"):
        project.ingest("clicks", [{"page": page, "at": NOON}], backfill=True)
        project.run()
    found = project.statistics("clicks")
    assert found.rows == 2
    assert set(found.columns) == {"page", "at"}
    assert {level.value for level in found.columns["page"].frequent} == {"home", "cart"}


def test_the_match_rates_of_joins_are_kept(tmp_path: Path) -> None:
    for name, rows in (("left", [1, 2, 3, 4]), ("right", [1, 2, 3])):
        (tmp_path / f"{name}.csv").write_text("\n".join(["k", *map(str, rows)]))
    left, right = (ms.files(f"{name}.csv", known="always") for name in ("left", "right"))
    both = ms.table(lambda left, right: ms.join(left, right, on="k", expect="many_to_one"), name="both")
    settings = Settings(tmp_path, ProjectSettings("test", ()), Profile(), "default", Serve())
    with Project(settings, {"left": left, "right": right, "both": both}) as made:
        made.run()
        assert list(made.statistics("both").joins.values()) == [0.75]
        assert made.statistics("left").joins == {}
