"""Backups: complete, consistent while others write, and refused when they are damaged."""

import errno
import json
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import ConflictError, SettingsError, StorageError
from mainstem.nodes.base import Node
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
SCHEMA = {"event": "string", "place": "string", "at": "timestamp('UTC', 6)"}


def declared() -> dict[str, Node]:
    rides = ms.stream("rides", schema=SCHEMA, key="event", time="at")
    return {"rides": rides, "busy": ms.feature_view(rides, key="place", windows=["30d"], rides=_.count())}


def opened(root: Path, **profile: str) -> ms.Project:
    settings = Settings(root, ProjectSettings("rides", ()), Profile(**profile), "default", Serve())
    return ms.Project(settings, declared())


def events(first: int, rows: int) -> list[dict[str, Any]]:
    return [
        {"event": f"e{n}", "place": "here", "at": (NOON + timedelta(minutes=n)).isoformat()}
        for n in range(first, first + rows)
    ]


def counted(project: ms.Project) -> tuple[int, int]:
    """The rows in the lake, and those that the online state has seen."""
    row = project.online("busy").get([{"place": "here"}], NOON + timedelta(days=20))[0]
    return project.table("rides").to_pyarrow().num_rows, row["rides_30d"]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ms.Project]:
    (tmp_path / "project").mkdir()
    with opened(tmp_path / "project") as made:
        made.run()
        made.ingest("rides", events(0, 10), backfill=True)
        made.run()
        made.ingest("rides", events(10, 5), backfill=True)
        yield made


def test_a_backup_brings_back_all_of_a_lost_project(project: ms.Project, tmp_path: Path) -> None:
    before = counted(project)
    assert before == (10, 15)
    made = project.backup(tmp_path / "backup")
    assert made.releases == {"main": project.release.id} and made.bytes > 0
    project.close()
    shutil.rmtree(tmp_path / "project/.mainstem")
    with opened(tmp_path / "project") as again:
        assert again.restore(tmp_path / "backup") == made
    with opened(tmp_path / "project") as again:
        assert counted(again) == before
        again.run()
        assert counted(again) == (15, 15), "the events that were in the log only are drained"


def test_a_backup_restored_elsewhere_is_a_project_of_its_own(project: ms.Project, tmp_path: Path) -> None:
    project.backup(tmp_path / "backup")
    with opened(tmp_path / "other") as other:
        other.restore(tmp_path / "backup")
        other.run()
        assert counted(other) == (15, 15) and counted(project) == (10, 15)
        assert other.adapters.lake.identity.copy_of == project.adapters.lake.identity.id


def test_a_backup_while_others_write_holds_one_instant(project: ms.Project, tmp_path: Path) -> None:
    ended, problems = threading.Event(), list[BaseException]()

    def write() -> None:
        try:
            with opened(tmp_path / "project") as writer:
                first = 15
                while not ended.is_set():
                    writer.ingest("rides", events(first, 7), backfill=True)
                    first += 7
                    if first % 3 == 0:
                        writer.run()
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=write)
    thread.start()
    made = []
    try:
        for number in range(4):
            try:
                project.backup(tmp_path / f"backup{number}")
                made.append(number)
            except ConflictError:  # a branch moved during every attempt
                continue
    finally:
        ended.set()
        thread.join()
    assert not problems and made
    for number in made:
        with opened(tmp_path / f"restored{number}") as restored:
            restored.restore(tmp_path / f"backup{number}")
            restored.run()
            rows, seen = counted(restored)
            assert rows == seen >= 15 and (rows - 15) % 7 == 0, "whole batches, each in the lake and online"
            assert sorted(restored.table("rides").to_pyarrow()["event"].to_pylist()) == sorted(
                f"e{n}" for n in range(rows)
            )


def test_a_run_may_commit_while_the_lake_is_copied(
    project: ms.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalog of the copy names no file that the copy lacks."""
    copy, lake, held = shutil.copytree, project.adapters.lake, project.release.tables["rides"]

    def commit() -> None:
        target = lake.target("rides", {f.name: f.type for f in held.fields})
        lake.commit("rides", target, (), base=held, run="run-unpublished")

    def between(*args: Any, **kwargs: Any) -> Any:
        commit()
        done = copy(*args, **kwargs)
        commit()
        return done

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", between)
        project.backup(tmp_path / "backup")
    with opened(tmp_path / "other") as other:
        other.restore(tmp_path / "backup")
        other.run()
        assert counted(other) == (15, 15)


def test_what_cannot_be_completed_leaves_nothing(
    project: ms.Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copy2", full)
        with pytest.raises(OSError):
            project.backup(tmp_path / "backup")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["project"]
    project.backup(tmp_path / "backup")
    with opened(tmp_path / "other") as other:
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "copy2", full)
            with pytest.raises(OSError):
                other.restore(tmp_path / "backup")
        other.restore(tmp_path / "backup")
        assert counted(other) == (10, 15)


@pytest.mark.parametrize("part", ["state.db", "lake/catalog.db", "online/main/data.mdb", "a data file"])
def test_a_damaged_backup_restores_nothing(project: ms.Project, tmp_path: Path, part: str) -> None:
    project.backup(tmp_path / "backup")
    path = tmp_path / "backup" / part
    if part == "a data file":
        path = next((tmp_path / "backup/lake/tables").rglob("*.parquet"))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with opened(tmp_path / "other") as other:
        with pytest.raises(StorageError, match="a file of the backup is damaged; nothing was restored"):
            other.restore(tmp_path / "backup")
        assert not (tmp_path / "other/.mainstem/state.db").exists()
    path.unlink()
    with opened(tmp_path / "other") as other, pytest.raises(StorageError, match="no such file"):
        other.restore(tmp_path / "backup")


def test_nothing_is_replaced(project: ms.Project, tmp_path: Path) -> None:
    project.backup(tmp_path / "backup")
    with pytest.raises(StorageError, match="the directory for the backup is not empty"):
        project.backup(tmp_path / "backup")
    with pytest.raises(StorageError, match="the project has stored data already"):
        project.restore(tmp_path / "backup")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/remedies.toml").write_text("# another\n")
    (tmp_path / "backup/project/remedies.toml").write_text("# the backup's\n")
    with opened(tmp_path / "other") as other, pytest.raises(StorageError, match="differs from the backup's"):
        other.restore(tmp_path / "backup")
    with opened(tmp_path / "other") as other, pytest.raises(StorageError, match="the directory has no backup"):
        other.restore(tmp_path / "project")


def test_what_a_server_keeps_is_not_promised(tmp_path: Path) -> None:
    with opened(tmp_path, state="postgresql://user:canary@127.0.0.1:1/x") as project:
        with pytest.raises(SettingsError, match="a backup cannot hold what a server keeps: state") as caught:
            project.backup(tmp_path / "backup")
        assert "canary" not in str(caught.value)


def test_the_manifest_names_every_file(project: ms.Project, tmp_path: Path) -> None:
    project.backup(tmp_path / "backup")
    made = json.loads((tmp_path / "backup/backup.json").read_text())
    assert made["version"] == 1 and set(made["files"]) >= {"state.db", "lake/catalog.db", "lake/lake.json"}
    found = {str(p.relative_to(tmp_path / "backup")) for p in (tmp_path / "backup").rglob("*") if p.is_file()}
    assert found == {*made["files"], "backup.json"}
