import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest
from sqlalchemy import create_engine, text

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import ConflictError, StorageError
from mainstem.lake.iceberg import IcebergLake
from mainstem.ports import ReplaceAll, ReplaceFiles
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


class TestCatalogInPostgresql(LakeContract):
    @pytest.fixture
    def open_lake(self, postgresql: str, tmp_path: Path):
        name = f"t{uuid4().hex}"
        engine = create_engine(f"{postgresql.replace('://', '+psycopg://')}/postgres", isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        opened: list[IcebergLake] = []

        def open_once_more() -> IcebergLake:
            opened.append(IcebergLake(tmp_path / "lake", f"{postgresql}/{name}"))
            return opened[-1]

        yield open_once_more
        for lake in opened:
            lake.close()


def test_opening_touches_nothing(tmp_path: Path):
    IcebergLake(tmp_path / "lake").close()
    assert not (tmp_path / "lake").exists()


@pytest.fixture
def outside(tmp_path: Path):
    """Read the names that a plain PyIceberg catalog sees, each with its ids."""
    from pyiceberg.catalog.sql import SqlCatalog

    (tmp_path / "lake").mkdir()
    catalog = SqlCatalog("mainstem", uri=f"sqlite:///{tmp_path}/lake/catalog.db", warehouse=str(tmp_path / "lake"))

    def read() -> dict[str, list[int]]:
        names = [(*space, name) for *space, name in _tables_below(catalog, ("main",))]
        return {
            ".".join(name[1:]): sorted(catalog.load_table(name).scan().to_arrow().column("id").to_pylist())
            for name in names
        }

    yield read
    catalog.engine.dispose()


def _tables_below(catalog, space):
    if not catalog.namespace_exists(space):
        return []
    found = catalog.list_tables(space)
    for below in catalog.list_namespaces(space):
        found += _tables_below(catalog, below)
    return found


def test_readers_outside_see_the_offered_snapshots_under_stable_names(open_lake, outside):
    lake = open_lake()
    first = commit(lake, [1])
    second = commit(lake, [2], first)
    third = commit(lake, [3], second)
    assert outside() == {}  # unpublished snapshots have no name
    lake.offer({"legs": second, "quarantine.legs": first})
    assert outside() == {"legs": [1, 2], "quarantine.legs": [1]}
    lake.offer({"legs": first})
    assert outside() == {"legs": [1]}
    target = lake.target("legs", {**SCHEMA, "more": "string"})
    wider = lake.commit("legs", target, (), base=None, run="run-2", change=ReplaceAll())
    lake.offer({"legs": wider})
    assert wider.physical != third.physical and outside() == {"legs": []}
    lake.offer({})
    assert outside() == {}


def test_what_is_offered_stays_readable_after_a_sweep_and_later_commits(open_lake, outside):
    lake = open_lake()
    first = commit(lake, [1])
    second = commit(lake, [2], run="run-2", change=ReplaceAll())
    lake._change(first.physical, lambda table: table.manage_snapshots().set_current_snapshot(first.id).commit())
    for shown, rows in ((second, [2]), (first, [1])):
        lake.offer({"legs": shown})
        commit(lake, [9], run="run-9")
        lake.sweep([first, second], unpinned={"run-1", "run-2", "run-9"}, older_than_hours=-1)
        assert outside() == {"legs": rows}


def test_a_snapshot_whose_metadata_shows_another_one_is_offered_through_a_new_file(open_lake, outside):
    lake = open_lake()
    first = commit(lake, [1])
    second = commit(lake, [2], first)
    older = replace(first, metadata=second.metadata)  # as commits were made before their metadata showed them
    lake.offer({"legs": older})
    assert outside() == {"legs": [1]}
    lake.sweep([older, second], older_than_hours=-1)
    assert outside() == {"legs": [1]}


def test_an_array_is_read_within_and_without(open_lake):
    lists = [[2.5, None], None, []]
    lake, rows = open_lake(), [{"a": each, "id": n, "b": each and ["x"]} for n, each in enumerate(lists)]
    target = lake.target("lists", {"a": "array<float64>", "id": "int64", "b": "array<string>"})
    with DuckdbEngine().session({"rows": pa.Table.from_pylist(rows)}) as session:
        written = session.write("SELECT * FROM rows", target)
        snapshot = lake.commit("lists", target, written, base=None, run="run-1")
        session.add("back", lake.scan(snapshot))
        assert session.fetch("SELECT * FROM back ORDER BY id").to_pylist() == rows
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
    lake.sweep([commit(lake, [2], run="run-2")], unpinned={"run-1"}, older_than_hours=-1)
    with pytest.raises(StorageError) as caught:
        lake.scan(snapshot)
    assert "garbage collection" in (caught.value.hint or "")


def test_a_catalog_that_is_no_database(tmp_path: Path):
    (tmp_path / "catalog.db").write_text("this is not SQLite, and long enough to be looked at" * 100)
    with pytest.raises(StorageError):
        IcebergLake(tmp_path).target("legs", SCHEMA)


@pytest.mark.parametrize("url", ["s3://bucket/x", "nowhere", "mysql+nothing://h/db", "mssql+pymssql://h/db"])
def test_a_catalog_that_no_driver_reads(tmp_path: Path, url: str):
    with pytest.raises(StorageError, match="catalog cannot be used"):
        IcebergLake(tmp_path / "lake", url).target("legs", SCHEMA)


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
        if calls == 2 and sys.argv[2] == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        done = real(*args, **kwargs)
        if calls == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    SqlCatalog.commit_table = die
    lake = IcebergLake(sys.argv[1])
    base = commit(lake, [1])
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
    assert (
        lake.sweep([base, again], unpinned={"run-1"}, older_than_hours=-1).files == 1
    )  # the file of the commit that was killed
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
