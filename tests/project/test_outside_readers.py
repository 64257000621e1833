"""What readers outside Mainstem see of a project: the published tables of `main`, under names that do not change."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog.sql import SqlCatalog

import mainstem as ms
from mainstem.errors import RunFailed
from mainstem.lake.iceberg import IcebergLake
from mainstem.settings import Profile, ProjectSettings, Serve, Settings


def opened(root: Path, *, columns: int = 1, branch: str = "main", at_least: int = 0) -> ms.Project:
    @ms.table(checks=[ms.between("id", 0, 4, severity="quarantine"), ms.row_count(at_least)])
    def orders(sales: Any) -> Any:
        return sales.mutate(**{f"c{n}": sales.id * n for n in range(1, columns)})

    settings = Settings(root, ProjectSettings("shop", ()), Profile(), "default", Serve())
    return ms.Project(settings, {"sales": ms.files("sales.parquet"), "orders": orders}, branch=branch)


def write(root: Path, rows: int) -> None:
    pq.write_table(pa.table({"id": list(range(rows))}), root / "sales.parquet")


class Outside:
    """A reader that knows the catalog and nothing of Mainstem."""

    def __init__(self, root: Path) -> None:
        self.catalog = SqlCatalog("mainstem", uri=f"sqlite:///{root}/.mainstem/lake/catalog.db")

    def read(self, *name: str) -> pa.Table:
        return self.catalog.load_table(("main", *name)).scan().to_arrow()

    def tables(self) -> set[str]:
        return {".".join(name) for name in self.catalog.list_tables(("main",))}


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    (tmp_path / ".mainstem/lake").mkdir(parents=True)
    reader = Outside(tmp_path)
    yield reader
    reader.catalog.engine.dispose()


def test_names_stay_when_schemas_change_and_follow_a_rollback(tmp_path: Path, outside: Outside) -> None:
    write(tmp_path, 3)
    with opened(tmp_path) as project:
        project.run()
    assert outside.tables() == {"main.sales", "main.orders"}
    write(tmp_path, 6)
    with opened(tmp_path, columns=3) as project:
        project.run()
        assert sorted(outside.read("orders").column_names) == ["c1", "c2", "id"]
        assert outside.read("orders").num_rows == 5
        assert outside.read("quarantine", "orders").column("id").to_pylist() == [5]
        project.rollback()
    assert outside.read("orders").column_names == ["id"]
    assert outside.read("orders").num_rows == outside.read("sales").num_rows == 3
    assert outside.tables() == {"main.sales", "main.orders"}


def test_another_branch_and_a_failed_run_change_nothing(tmp_path: Path, outside: Outside) -> None:
    write(tmp_path, 3)
    with opened(tmp_path) as project:
        project.run()
    write(tmp_path, 4)
    with opened(tmp_path, branch="dev") as project:
        project.run()
    assert outside.read("sales").num_rows == 3
    with opened(tmp_path, at_least=9) as project, pytest.raises(RunFailed):
        project.run()
    assert outside.read("sales").num_rows == outside.read("orders").num_rows == 3


def test_a_run_with_nothing_to_do_shows_what_a_killed_one_could_not(
    tmp_path: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 3)
    with opened(tmp_path) as project:
        project.run()
        write(tmp_path, 4)
        with monkeypatch.context() as patched:
            patched.setattr(IcebergLake, "offer", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            project.run()
        assert project.table("sales").to_pyarrow().num_rows == 4
        assert outside.read("sales").num_rows == 3
        assert project.run().status == "unchanged"
    assert outside.read("sales").num_rows == 4


def test_a_promotion_is_shown(tmp_path: Path, outside: Outside) -> None:
    write(tmp_path, 3)
    with opened(tmp_path) as project:
        project.run()
        project.create_branch("dev")
    write(tmp_path, 4)
    with opened(tmp_path, branch="dev") as dev:
        dev.run()
        assert outside.read("sales").num_rows == 3
        dev.promote_branch("dev")
    assert outside.read("sales").num_rows == outside.read("orders").num_rows == 4


def test_what_was_published_before_anything_was_shown_is_shown_by_the_next_run(
    tmp_path: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 3)
    with opened(tmp_path) as project:
        with monkeypatch.context() as patched:
            patched.setattr(IcebergLake, "offer", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            project.run()
        assert not outside.catalog.namespace_exists("main")
        assert project.run().status == "unchanged"
    assert outside.read("sales").num_rows == 3


def test_what_is_shown_survives_the_collection_of_garbage(
    tmp_path: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as project:
        for rows in (3, 6):
            write(tmp_path, rows)
            project.run()
        project.rollback()
        later = time.time() + 3 * 24 * 3600
        monkeypatch.setattr("mainstem.lake.iceberg.time.time", lambda: later)
        project.gc()
    assert outside.read("orders").num_rows == 3
