"""What `gc` keeps and frees: releases by age and number, and what models and branches need."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from mainstem.errors import SettingsError, StorageError
from mainstem.nodes.records import ModelVersion, now
from mainstem.project.retention import kept
from mainstem.settings import Keep, Profile, ProjectSettings, Serve, Settings, load

YEAR = timedelta(days=365)


def place(root: Path, keep: Keep) -> Settings:
    return Settings(root, ProjectSettings("shop", ()), Profile(), "default", Serve(), keep)


def opened(root: Path, branch: str = "main", keep: Keep = Keep(releases="1s", newest=2)) -> ms.Project:  # noqa: B008
    @ms.table
    def doubled(sales: Any) -> Any:
        return sales.mutate(twice=sales.id * 2)

    return ms.Project(place(root, keep), {"sales": ms.files("sales.parquet"), "doubled": doubled}, branch=branch)


def write(root: Path, rows: int) -> None:
    pq.write_table(pa.table({"id": list(range(rows))}), root / "sales.parquet")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ms.Project]:
    """Eight releases, each with more rows than the one before."""
    with opened(tmp_path) as made:
        for rows in range(1, 9):
            write(tmp_path, rows)
            made.run()
        yield made


def a_year_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the lake's files and snapshots a year old: the clocks of `gc` go ahead."""
    instant = time.time
    monkeypatch.setattr("mainstem.project.garbage.now", lambda: now() + YEAR)
    monkeypatch.setattr("mainstem.lake.iceberg.time.time", lambda: instant() + YEAR.total_seconds())


def data_files(root: Path) -> int:
    return len(list((root / ".mainstem/lake").rglob("data/*.parquet")))


def test_old_releases_are_freed_and_the_newest_stay(
    project: ms.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    releases = project.releases()
    assert data_files(tmp_path) == 16
    a_year_later(monkeypatch)
    freed = project.gc()
    assert freed.files == 12 and freed.bytes > 0
    assert data_files(tmp_path) == 4
    assert len(project.table("doubled").to_pyarrow()) == 8
    assert project.table("doubled").as_of(releases[1].id).to_pyarrow().num_rows == 7
    with pytest.raises(StorageError):
        project.table("doubled").as_of(releases[5].id).to_pyarrow()
    head = project.release.id
    with pytest.raises(StorageError):
        project.rollback(releases[5].id)
    assert project.release.id == head
    project.rollback(releases[1].id)
    assert len(project.table("doubled").to_pyarrow()) == 7
    assert project.gc().files == 0
    assert project.check_files().damaged == ()


def test_within_the_time_all_is_kept(project: ms.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_year_later(monkeypatch)
    for keep in (Keep(releases="400d", newest=1), Keep(releases="all", newest=1)):
        with opened(tmp_path, keep=keep) as again:
            assert again.gc().files == 0
    assert data_files(tmp_path) == 16


def test_a_branch_keeps_its_release(project: ms.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 20)
    with opened(tmp_path, branch="dev") as dev:
        dev.run()
    for rows in range(30, 34):
        write(tmp_path, rows)
        project.run()
    a_year_later(monkeypatch)
    assert project.gc().files > 0
    with opened(tmp_path, branch="dev") as dev:
        assert len(dev.table("doubled").to_pyarrow()) == 20


def test_a_table_of_another_schema_goes_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 3)
    with opened(tmp_path) as project:
        project.run()

    @ms.table
    def doubled(sales: Any) -> Any:
        return sales.mutate(half=sales.id / 2)

    nodes = {"sales": ms.files("sales.parquet"), "doubled": doubled}
    with ms.Project(place(tmp_path, Keep(releases="1s", newest=1)), nodes) as changed:
        changed.run()
        tables = tmp_path / ".mainstem/lake/tables"
        assert len(list(tables.glob("doubled__*"))) == 2
        a_year_later(monkeypatch)
        with changed.adapters.state.hold("main", "another run"):
            changed.gc()
        assert len(list(tables.glob("doubled__*"))) == 2, "a run may be about to write to it"
        changed.gc()
        assert [path.name for path in tables.glob("doubled__*")] == [changed.release.tables["doubled"].physical]
        assert len(changed.table("doubled").to_pyarrow()) == 3


def test_a_model_in_use_keeps_what_it_was_trained_on(project: ms.Project) -> None:
    state, oldest = project.adapters.state, project.releases()[-1]
    what = ("late-1", "late", 1, "run", "f", "models/late/1", "binary", "lightgbm", "ap", ())
    state.save(ModelVersion(*what, snapshots={"sales": oldest.tables["sales"].id}))
    keep = Keep(releases="1s", newest=1)
    found = kept(state, keep, now() + YEAR)
    assert oldest.tables["sales"] not in found.snapshots and "late-1" in found.unpinned
    state.save(replace(project.release, models={"late": "late-1"}))
    found = kept(state, keep, now() + YEAR)
    assert oldest.tables["sales"] in found.snapshots and "late-1" not in found.unpinned


@pytest.mark.parametrize(
    ("keep", "what"), [(Keep(releases="monthly"), "the setting is no duration"), (Keep(newest=0), "`newest` must be")]
)
def test_a_wrong_rule_is_refused(project: ms.Project, tmp_path: Path, keep: Keep, what: str) -> None:
    with opened(tmp_path, keep=keep) as again, pytest.raises(SettingsError, match=what) as refused:
        again.gc()
    assert "mainstem.toml, [keep]" in str(refused.value.where)


def test_the_rule_is_read_from_the_settings(tmp_path: Path) -> None:
    text = '[project]\nname = "shop"\nmodules = []\n[keep]\nreleases = "90d"\nnewest = 3\n'
    (tmp_path / "mainstem.toml").write_text(text)
    assert load(tmp_path).keep == Keep("90d", 3)
