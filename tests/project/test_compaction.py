"""Small files are merged; rows, statistics and everything downstream stay as they are."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from mainstem.errors import ConflictError, UnknownName
from mainstem.project.project import Project
from mainstem.settings import Profile, ProjectSettings, Serve, Settings


@ms.table(checks=[ms.between("id", 0, 99, severity="quarantine")])
def orders(sales: Any) -> Any:
    return sales.mutate(twice=sales.id * 2)


@ms.table
def totals(orders: Any) -> Any:
    return orders.aggregate(n=orders.count(), twice=orders.twice.sum())


def opened(root: Path, branch: str = "main") -> Project:
    nodes = {"sales": ms.files("sales/*.parquet", key="id"), "orders": orders, "totals": totals}
    return ms.Project(Settings(root, ProjectSettings("shop", ()), Profile(), "default", Serve()), nodes, branch=branch)


def more(root: Path, number: int) -> None:
    (root / "sales").mkdir(exist_ok=True)
    rows = {"id": [number * 2, number * 2 + 1], "name": [f"n{number}", None]}
    pq.write_table(pa.table(rows), root / "sales" / f"{number:03}.parquet")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Five runs, each with a file more."""
    with opened(tmp_path) as made:
        for number in range(5):
            more(tmp_path, number)
            made.run()
        yield made


def rows(project: Project, name: str) -> list[dict[str, Any]]:
    return sorted(project.table(name).to_pyarrow().to_pylist(), key=str)


def files(project: Project, name: str) -> int:
    return len(project.adapters.lake.scan(project.release.tables[name]).files)


def test_files_are_merged_and_nothing_is_built_again(project: Project, tmp_path: Path) -> None:
    names = ("sales", "orders", "totals")
    before = {name: rows(project, name) for name in names}
    counted = project.statistics("orders")
    assert (files(project, "sales"), files(project, "orders")) == (5, 5)
    found = {each.name: each for each in project.compact()}
    assert {name: (each.before, each.after) for name, each in found.items()} == {"sales": (5, 1), "orders": (5, 1)}
    assert found["sales"].bytes > 0
    assert {name: rows(project, name) for name in names} == before
    assert project.statistics("orders").columns == counted.columns
    assert not project.plan()
    assert project.compact() == ()
    assert project.run().status == "unchanged"


def test_what_comes_after_is_still_added_and_not_built_again(project: Project, tmp_path: Path) -> None:
    project.compact()
    more(tmp_path, 5)
    steps = {step.node: step for step in project.run().steps}
    assert "only what is new" in steps["orders"].message and steps["orders"].published == 2
    assert files(project, "orders") == 2
    assert rows(project, "totals") == [{"n": 12, "twice": 2 * sum(range(12))}]
    project.run(full_refresh=True)
    assert sorted(row["id"] for row in rows(project, "orders")) == list(range(12))


def test_a_relation_that_was_not_read_yet_is_left(project: Project, tmp_path: Path) -> None:
    more(tmp_path, 5)
    project.run("sales")
    (left,) = [each for each in project.compact() if each.left]
    assert (left.name, left.before, left.after) == ("sales", 6, 6)
    assert left.left == "orders has not read its newest rows: mainstem run"
    assert "only what is new" in {step.node: step for step in project.run().steps}["orders"].message


def test_earlier_releases_stay_and_a_rollback_takes_the_merge_back(project: Project) -> None:
    earlier = project.release
    project.compact("orders")
    assert project.release.parent == earlier.id and project.release.tables["sales"] == earlier.tables["sales"]
    project.rollback()
    assert files(project, "orders") == 5
    assert project.table("orders").as_of(earlier.id).to_pyarrow().num_rows == 10


def test_large_files_are_left(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mainstem.project.compaction.SMALL", 10)
    assert project.compact() == ()
    (told,) = project.compact("orders")
    assert (told.after, told.left) == (5, "its files are large, or it has one only")


def test_merged_files_have_a_size(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    size = max(Path(path).stat().st_size for path in project.adapters.lake.scan(project.release.tables["sales"]).files)
    monkeypatch.setattr("mainstem.project.compaction.FULL", 2 * size)
    before = rows(project, "sales")
    assert {each.name: each.after for each in project.compact()}["sales"] == 3
    assert rows(project, "sales") == before


def test_one_at_a_time(project: Project, tmp_path: Path) -> None:
    with project.adapters.state.hold("main", "another"), pytest.raises(ConflictError):
        project.compact()
    with pytest.raises(UnknownName, match="order"):
        project.compact("order")


def test_on_another_branch_main_stays(project: Project, tmp_path: Path) -> None:
    with opened(tmp_path, "dev") as dev:
        dev.compact("sales")
        assert (files(dev, "sales"), files(project, "sales")) == (1, 5)


def test_quarantined_rows_are_merged_too(tmp_path: Path) -> None:
    with opened(tmp_path) as project:
        for number in (60, 70, 80):
            more(tmp_path, number)
            project.run()
        before = rows(project, "quarantine.orders")
        assert {each.name: each.after for each in project.compact()}["quarantine.orders"] == 1
        assert rows(project, "quarantine.orders") == before
        more(tmp_path, 90)
        project.run()
        assert len(rows(project, "quarantine.orders")) == len(before) + 2


def test_the_order_in_which_rows_landed_stays(tmp_path: Path) -> None:
    sales = ms.files("sales/*.parquet", key="id", time="at")
    settings = Settings(tmp_path, ProjectSettings("shop", ()), Profile(), "default", Serve())
    (tmp_path / "sales").mkdir()
    with ms.Project(settings, {"sales": sales}) as project:
        for number in range(3):
            at = pa.array([number * 1_000_000], pa.timestamp("us", "UTC"))
            pq.write_table(pa.table({"id": [number], "at": at}), tmp_path / "sales" / f"{number}.parquet")
            project.run()

        def landed() -> list[dict[str, Any]]:
            paths = project.adapters.lake.scan(project.release.tables["sales"]).files
            return pq.read_table(list(paths)).select(["id", "_seq"]).sort_by("_seq").to_pylist()

        before = landed()
        project.compact()
        assert landed() == before and [row["id"] for row in before] == [0, 1, 2]


def test_an_incremental_table_keeps_files_of_the_size_that_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @ms.table(incremental="at")
    def daily(sales: Any) -> Any:
        return sales.mutate(twice=sales.id * 2)

    nodes = {"sales": ms.files("sales/*.parquet", key="id"), "daily": daily}
    settings = Settings(tmp_path, ProjectSettings("shop", ()), Profile(), "default", Serve())
    (tmp_path / "sales").mkdir()
    with ms.Project(settings, nodes) as project:
        for number in range(4):
            at = pa.array([86_400_000_000 * number] * 2, pa.timestamp("us", "UTC"))
            pq.write_table(
                pa.table({"id": [number * 2, number * 2 + 1], "at": at}), tmp_path / f"sales/{number}.parquet"
            )
            project.run()
        before, count = rows(project, "daily"), files(project, "daily")
        size = max(Path(p).stat().st_size for p in project.adapters.lake.scan(project.release.tables["daily"]).files)
        monkeypatch.setattr("mainstem.project.compaction.FILE_BYTES", 4 * (size + 1))
        assert count == 4
        assert {each.name: each.after for each in project.compact()}["daily"] == 1
        assert rows(project, "daily") == before
        at = pa.array([0], pa.timestamp("us", "UTC"))
        pq.write_table(pa.table({"id": [99], "at": at}), tmp_path / "sales/9.parquet")
        project.run()
        assert len(rows(project, "daily")) == 9
