import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pyarrow as pa
import pytest

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import ConflictError, StorageError
from mainstem.lake.iceberg import IcebergLake
from mainstem.ports import ReplaceFiles
from mainstem.testing.contracts.lake import SCHEMA, LakeContract, commit, ids, write


@pytest.fixture
def open_lake(tmp_path: Path):
    opened: list[IcebergLake] = []

    def open_once_more() -> IcebergLake:
        opened.append(IcebergLake(tmp_path / "lake"))
        return opened[-1]

    yield open_once_more
    for lake in opened:
        lake.close()


class TestIceberg(LakeContract):
    pass


def test_opening_touches_nothing(tmp_path: Path):
    IcebergLake(tmp_path / "lake").close()
    assert not (tmp_path / "lake").exists()


def test_the_tables_own_main_is_what_was_published(open_lake):
    lake = open_lake()
    first = commit(lake, [1])
    second = commit(lake, [2], first)

    def outside() -> list[int]:
        from pyiceberg.catalog.sql import SqlCatalog

        catalog = SqlCatalog("mainstem", uri=f"sqlite:///{lake.root}/catalog.db", warehouse=str(lake.root))
        try:
            table = catalog.load_table(("mainstem", first.physical))
            return sorted(table.scan().to_arrow().column("id").to_pylist())
        finally:
            catalog.engine.dispose()

    assert outside() == []  # nobody outside sees what is not published
    lake.publish(second)
    assert outside() == [1, 2]
    lake.publish(first)
    assert outside() == [1]


def test_an_array_is_read_within_and_without(open_lake):
    lists = [[2.5, None], None, []]
    lake, rows = open_lake(), [{"a": each, "id": n, "b": each and ["x"]} for n, each in enumerate(lists)]
    target = lake.target("lists", {"a": "array<float64>", "id": "int64", "b": "array<string>"})
    with DuckdbEngine().session({"rows": pa.Table.from_pylist(rows)}) as session:
        written = session.write("SELECT * FROM rows", target)
        snapshot = lake.commit("lists", target, written, base=None, run="run-1")
        session.add("back", lake.scan(snapshot))
        assert session.fetch("SELECT * FROM back ORDER BY id").to_pylist() == rows
    lake.publish(snapshot)
    outside = lake._catalog.load_table(("mainstem", snapshot.physical)).scan().to_arrow()
    assert sorted(outside.to_pylist(), key=lambda row: row["id"]) == rows


def test_run_and_cursor_stand_in_the_snapshots_properties(open_lake):
    lake = open_lake()
    first = commit(lake, [1], run="run-a", cursor='{"x": 1}')
    second = commit(lake, [2], first, run="run/b ü")
    table = lake._catalog.load_table(("mainstem", second.physical))
    summary = table.snapshot_by_id(second.id).summary
    assert (summary["mainstem.run"], summary["mainstem.cursor"]) == ("run/b ü", '{"x": 1}')
    assert table.snapshot_by_id(second.id).parent_snapshot_id == first.id


def test_replacing_files_is_one_snapshot(open_lake):
    lake = open_lake()
    first = commit(lake, [1])
    before = len(lake._catalog.load_table(("mainstem", first.physical)).metadata.snapshots)
    replaced = commit(lake, [2], first, change=ReplaceFiles(lake.scan(first).files))
    table = lake._catalog.load_table(("mainstem", first.physical))
    assert len(table.metadata.snapshots) == before + 1
    assert str(table.snapshot_by_id(replaced.id).summary.operation.value) == "overwrite"


def test_a_writer_that_is_always_too_late(open_lake, monkeypatch):
    from pyiceberg.exceptions import CommitFailedException
    from pyiceberg.table import Table

    lake = open_lake()
    base = commit(lake, [1])
    tries = []

    def too_late(self, *args, **kwargs):
        tries.append(1)
        raise CommitFailedException("stale")

    monkeypatch.setattr(Table, "_do_commit", too_late)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with pytest.raises(ConflictError):
        commit(lake, [2], base)
    assert len(tries) == 12
    monkeypatch.undo()
    assert ids(lake, base) == [1]


def test_what_was_swept_says_so(open_lake):
    lake = open_lake()
    snapshot = commit(lake, [1])
    lake.sweep([], older_than_hours=-1)
    with pytest.raises(StorageError) as caught:
        lake.scan(snapshot)
    assert "garbage collection" in (caught.value.hint or "")


def test_a_catalog_that_is_no_database(tmp_path: Path):
    (tmp_path / "catalog.db").write_text("this is not SQLite, and long enough to be looked at" * 100)
    with pytest.raises(StorageError):
        IcebergLake(tmp_path).target("legs", SCHEMA)


def test_artifacts_have_a_place(tmp_path: Path):
    path = IcebergLake(tmp_path / "lake").artifact_dir("late", 3)
    assert path == tmp_path / "lake" / "models" / "late" / "3"
    assert path.is_dir()


KILLED = """
    import os, signal, sys
    from pyiceberg.catalog.sql import SqlCatalog
    from mainstem.lake.iceberg import IcebergLake
    from mainstem.testing.contracts.lake import commit

    real = SqlCatalog.commit_table
    calls = 0

    def die(*args, **kwargs):
        global calls
        calls += 1
        if calls == 3 and sys.argv[2] == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        done = real(*args, **kwargs)
        if calls == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    SqlCatalog.commit_table = die
    lake = IcebergLake(sys.argv[1])
    base = commit(lake, [1])  # the table's first snapshot, and this one
    import msgspec
    open(sys.argv[1] + ".base", "wb").write(msgspec.json.encode(base))
    commit(lake, [2], base)
    print("not killed")
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_in_the_middle_of_a_commit(tmp_path: Path, moment: str):
    import msgspec

    from mainstem.ports import Snapshot

    root = str(tmp_path / "lake")
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), root, moment], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    base = msgspec.json.decode(Path(root + ".base").read_bytes(), type=Snapshot)
    lake = IcebergLake(root)
    assert ids(lake, base) == [1]
    again = commit(lake, [2], base)
    assert ids(lake, again) == [1, 2]
    assert lake.sweep([base, again], older_than_hours=-1).files == 1  # the file of the commit that was killed
    assert ids(IcebergLake(root), again) == [1, 2]
    lake.close()


def test_a_full_disk_harms_no_snapshot(tmp_path: Path):
    script = """
        import resource, sys
        from mainstem.errors import StorageError
        from mainstem.lake.iceberg import IcebergLake
        from mainstem.testing.contracts.lake import SCHEMA, commit, ids, write
        lake = IcebergLake(sys.argv[1])
        base = commit(lake, [1])
        target = lake.target("legs", SCHEMA)
        file = write(target, [2])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            lake.commit("legs", target, (file,), base=base, run="run-2")
        except StorageError as error:
            print(error.what, bool(error.hint))
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert ids(lake, lake.commit("legs", target, (file,), base=base, run="run-2")) == [1, 2]
        assert ids(IcebergLake(sys.argv[1]), base) == [1]
        print("unharmed")
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "lake")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "the disk is full True\nunharmed\n", done.stderr


def test_two_processes_append_to_one_table(tmp_path: Path):
    script = """
        import sys, msgspec
        from mainstem.lake.iceberg import IcebergLake
        from mainstem.ports import Snapshot
        from mainstem.testing.contracts.lake import commit, ids
        lake = IcebergLake(sys.argv[1])
        snapshot = msgspec.json.decode(open(sys.argv[1] + ".base", "rb").read(), type=Snapshot)
        first = int(sys.argv[2])
        for n in range(5):
            snapshot = commit(lake, [first + n], snapshot, run=f"run-{first}")
        assert ids(lake, snapshot) == [0, *range(first, first + 5)]
    """
    import msgspec

    root = str(tmp_path / "lake")
    lake = IcebergLake(root)
    Path(root + ".base").write_bytes(msgspec.json.encode(commit(lake, [0])))
    command = [sys.executable, "-c", textwrap.dedent(script), root]
    running = [subprocess.Popen([*command, first], stderr=subprocess.PIPE) for first in ("100", "200")]
    for process in running:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr.decode()
    lake.close()


def test_a_file_is_written_where_the_target_says(open_lake, tmp_path: Path):
    lake = open_lake()
    target = lake.target("quarantine.legs", SCHEMA)
    assert Path(target.directory).is_relative_to(tmp_path / "lake" / "tables")
    assert Path(target.directory).parent.name.startswith("quarantine__legs__")
    assert Path(write(target, [1]).path).parent == Path(target.directory)
