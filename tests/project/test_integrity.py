"""Damaged files: found, named, not read, and made again where that is possible."""

import os
import random
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from mainstem.errors import RunFailed, SettingsError, StorageError
from mainstem.nodes.base import Node
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

SEED = 20261129
EVENT = {"event": "string", "place": "string", "at": "timestamp('UTC', 6)"}
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def declared() -> dict[str, Node]:
    flights = ms.files("data/*.parquet", key="id")

    @ms.table
    def delays(flights: Any) -> Any:
        return flights.filter(flights.delay > 10)

    return {"flights": flights, "delays": delays, "rides": ms.stream("rides", schema=EVENT, key="event", time="at")}


def opened(root: Path, **profile: str) -> ms.Project:
    settings = Settings(root, ProjectSettings("flights", ()), Profile(**profile), "default", Serve())
    return ms.Project(settings, declared())


def write(root: Path, name: str, first: int, rows: int) -> None:
    (root / "data").mkdir(exist_ok=True)
    ids = list(range(first, first + rows))
    pq.write_table(pa.table({"id": ids, "delay": [n % 40 for n in ids]}), root / "data" / name)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ms.Project]:
    write(tmp_path, "a.parquet", 0, 1_000)
    write(tmp_path, "b.parquet", 1_000, 1_000)
    with opened(tmp_path) as made:
        made.run()
        made.ingest("rides", [{"event": "e1", "place": "here", "at": "2024-01-01T12:00:00Z"}], backfill=True)
        made.run()
        yield made


def stored(project: ms.Project, table: str) -> list[Path]:
    lake = project.adapters.lake
    return [Path(path) for path in lake.scan(project.release.tables[table]).files]


def flip(path: Path, at: int | None = None) -> bytes:
    """Flip one bit of a file, by default in its middle, and return what it had."""
    before = path.read_bytes()
    changed = bytearray(before)
    changed[len(before) // 2 if at is None else at] ^= 0x10
    path.write_bytes(changed)
    return before


def age(*paths: Path) -> None:
    for path in paths:
        os.utime(f"{path}.sha256", (LONG_AGO, LONG_AGO))


def rows(project: ms.Project, table: str) -> list[int]:
    return sorted(project.table(table).to_pyarrow().column("id").to_pylist())


def test_every_file_of_a_commit_has_a_sum_that_other_tools_verify(project: ms.Project) -> None:
    found = project.check_files()
    assert (found.damaged, found.unrecorded) == ((), ())
    assert set(found.sound) == {str(path) for name in project.release.tables for path in stored(project, name)}
    path = stored(project, "flights")[0]
    said = subprocess.run(["sha256sum", "-c", f"{path.name}.sha256"], cwd=path.parent, capture_output=True, text=True)
    assert said.stdout == f"{path.name}: OK\n"


def test_every_flipped_bit_is_found(project: ms.Project) -> None:
    path = stored(project, "delays")[0]
    chance = random.Random(SEED)
    for _ in range(60):
        kept = flip(path, chance.randrange(path.stat().st_size))
        assert [each.file for each in project.check_files().damaged] == [str(path)]
        path.write_bytes(kept)
    assert project.check_files().damaged == ()


def test_a_damaged_table_is_not_read_and_is_built_again(project: ms.Project) -> None:
    before = rows(project, "delays")
    path = stored(project, "delays")[0]
    flip(path)
    assert [(each.table, each.file) for each in project.check_files().damaged] == [("delays", str(path))]
    with pytest.raises(StorageError, match=r"a stored file of 'delays' is damaged.*") as refused:
        rows(project, "delays")
    assert refused.value.where == str(path)
    with pytest.raises(StorageError, match="damaged"):
        project.query("SELECT count(*) FROM delays")
    assert [(step.key, step.reason) for step in project.plan().steps] == [("build delays", "a stored file is damaged")]
    project.run()
    assert rows(project, "delays") == before
    assert not project.plan()


def test_a_damaged_source_is_collected_from_its_beginning(project: ms.Project) -> None:
    before = rows(project, "flights")
    flip(stored(project, "flights")[-1])
    project.check_files()
    assert [step.key for step in project.plan().steps] == ["collect flights", "build delays"]
    project.run()
    assert rows(project, "flights") == before


def test_rows_that_the_source_no_longer_has_are_not_given_up(project: ms.Project, tmp_path: Path) -> None:
    before = rows(project, "flights")
    path = next(p for p in stored(project, "flights") if 0 in pq.read_table(p).column("id").to_pylist())
    kept = flip(path)
    (tmp_path / "data" / "a.parquet").unlink()
    project.check_files()
    with pytest.raises(RunFailed, match="no longer delivers all rows") as failed:
        project.run()
    assert "1,000 rows" in str(failed.value) and "2,000 rows, as stored" in str(failed.value)
    path.write_bytes(kept)
    assert project.check_files().damaged == ()
    assert rows(project, "flights") == before


def test_what_came_from_a_log_waits_for_a_good_copy(project: ms.Project) -> None:
    path = stored(project, "rides")[0]
    kept = flip(path)
    project.check_files()
    project.ingest("rides", [{"event": "e2", "place": "here", "at": "2024-01-01T13:00:00Z"}], backfill=True)
    with pytest.raises(RunFailed, match="came from a log and cannot be made again"):
        project.run()
    path.write_bytes(kept)
    project.check_files()
    project.run()
    assert project.table("rides").to_pyarrow().column("event").to_pylist() == ["e1", "e2"]


def test_a_missing_file_is_damage(project: ms.Project) -> None:
    path = stored(project, "delays")[0]
    path.unlink()
    assert [(each.file, each.got) for each in project.check_files().damaged] == [
        (str(path), "No such file or directory")
    ]
    project.run()
    assert len(rows(project, "delays")) > 0


def test_a_missing_file_is_damage_also_without_a_sum(project: ms.Project) -> None:
    path = stored(project, "delays")[0]
    path.unlink()
    Path(f"{path}.sha256").unlink()
    (found,) = project.check_files().damaged
    assert (found.file, found.expected) == (str(path), "not recorded")


def test_what_is_set_aside_is_not_read_either_and_needs_a_copy(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", 0, 100)

    @ms.table(checks=[ms.between("delay", 0, 20, severity="quarantine")])
    def delays(flights: Any) -> Any:
        return flights

    nodes = {"flights": ms.files("data/*.parquet", key="id"), "delays": delays}
    with ms.Project(Settings(tmp_path, ProjectSettings("x", ()), Profile(), "default", Serve()), nodes) as project:
        project.run()
        flip(stored(project, "quarantine.delays")[0])
        assert [each.table for each in project.check_files().damaged] == ["quarantine.delays"]
        with pytest.raises(StorageError, match="damaged") as refused:
            project.table("quarantine.delays").to_pyarrow()
        assert "put back a copy of the file" in str(refused.value.hint) and "log" not in str(refused.value.hint)
        assert len(project.table("delays").to_pyarrow()) > 0


def test_a_run_verifies_the_files_that_are_due_and_only_those(project: ms.Project) -> None:
    flip(stored(project, "delays")[0])
    assert project.run().status == "unchanged"  # verified at its commit, not due for seven days
    age(*stored(project, "delays"))
    assert [step.node for step in project.run().steps] == ["delays"]
    assert project.run().status == "unchanged"


def test_the_oldest_come_first_and_the_rest_follows_in_later_runs(project: ms.Project, tmp_path: Path) -> None:
    write(tmp_path, "c.parquet", 2_000, 1_000)
    project.run()
    files = stored(project, "flights")
    age(*files)
    os.utime(f"{files[1]}.sha256", (LONG_AGO - 60, LONG_AGO - 60))
    lake, snapshots = project.adapters.lake, [project.release.tables["flights"]]
    week = datetime(2026, 2, 1, tzinfo=UTC)
    assert [lake.verify(snapshots, before=week, seconds=0).sound for _ in range(3)] == [
        (str(files[1]),),
        (str(files[0]),),
        (),
    ]


@pytest.mark.parametrize(("setting", "due"), [("off", []), ("30s", ["delays"])])
def test_how_often_is_a_setting(project: ms.Project, tmp_path: Path, setting: str, due: list[str]) -> None:
    path = stored(project, "delays")[0]
    age(path)
    flip(path)
    with opened(tmp_path, verify=setting) as again:
        assert [step.node for step in again.run().steps] == due


def test_a_wrong_setting_is_refused(project: ms.Project, tmp_path: Path) -> None:
    with opened(tmp_path, verify="weekly") as again, pytest.raises(SettingsError, match="the setting is no duration"):
        again.run()


def test_files_without_a_sum_are_counted(project: ms.Project) -> None:
    path = stored(project, "delays")[0]
    Path(f"{path}.sha256").unlink()
    assert project.check_files().unrecorded == (str(path),)
    Path(f"{path}.sha256").write_text("")  # as a power cut may leave it
    assert project.check_files().unrecorded == (str(path),)


def test_garbage_collection_deletes_a_sum_with_its_file(project: ms.Project) -> None:
    lake, (kept,) = project.adapters.lake, stored(project, "delays")
    target = lake.target("delays", {"id": "int64", "delay": "int64"})
    stray = Path(target.directory) / "stray.parquet"
    pq.write_table(pa.table({"id": [1], "delay": [1]}), stray)
    Path(f"{stray}.sha256").write_text("0  stray.parquet\n")
    for path in (kept, stray):
        os.utime(path, (LONG_AGO, LONG_AGO))
        os.utime(f"{path}.sha256", (LONG_AGO, LONG_AGO))
    assert lake.sweep([*project.release.tables.values()]).files == 1
    assert Path(f"{kept}.sha256").exists()
    assert not Path(f"{stray}.sha256").exists()
