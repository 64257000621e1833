"""A lake on a real S3 server, with its catalog in a real PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine, text

from mainstem.errors import StorageError
from mainstem.lake.iceberg import IcebergLake
from mainstem.lake.places.local import Local
from mainstem.lake.places.remote import Remote
from mainstem.ports import ReplaceAll
from mainstem.testing.contracts.lake import SCHEMA, LakeContract, commit, ids, write
from s3 import s3_server


@pytest.fixture(scope="module")
def server():
    with s3_server() as found:
        found.system.create_dir("lakes")
        yield found


@pytest.fixture
def catalog(postgresql: str):
    name = f"t{uuid4().hex}"
    engine = create_engine(f"{postgresql.replace('://', '+psycopg://')}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{postgresql}/{name}"


@pytest.fixture
def machine(server, catalog, tmp_path: Path):
    """Open one lake as a machine of this name does: each has a mirror of its own."""
    prefix, opened = uuid4().hex, list[IcebergLake]()

    def open_at(name: str = "one", at: str = prefix) -> IcebergLake:
        opened.append(IcebergLake(Remote(f"s3://lakes/{at}", server.storage, tmp_path / name), catalog))
        return opened[-1]

    yield open_at
    for lake in opened:
        lake.close()


class TestObjectStorage(LakeContract):
    @pytest.fixture
    def open_lake(self, machine):
        return machine


class TestAnotherMachine(LakeContract):
    """Each opening is a machine of its own, with an empty mirror."""

    @pytest.fixture
    def open_lake(self, machine):
        return lambda: machine(uuid4().hex)

    def test_another_schema_is_another_physical_table(self, open_lake):
        pytest.skip("it compares the directories of two machines")


def place(lake: IcebergLake) -> Remote:
    found = lake._place
    assert isinstance(found, Remote)
    return found


def stored(lake: IcebergLake, folder: str = "tables") -> set[str]:
    return {entry.name for entry in place(lake).listing(folder)}


def test_another_machine_reads_what_one_wrote_and_continues(machine):
    one = machine("one")
    first = commit(one, [1, 2])
    two = machine("two")
    assert ids(two, first) == [1, 2]
    second = commit(two, [3], base=first)
    assert ids(one, second) == [1, 2, 3]
    assert one.identity == two.identity


def test_metadata_names_urls_for_outside_readers(machine, server):
    from pyiceberg.io.pyarrow import PyArrowFileIO
    from pyiceberg.table import StaticTable

    lake = machine()
    snapshot = commit(lake, [1, 2])
    properties = {
        "s3.endpoint": server.storage["endpoint"],
        "s3.access-key-id": server.storage["access_key"],
        "s3.secret-access-key": server.storage["secret_key"],
        "s3.region": server.storage["region"],
        "py-io-impl": f"{PyArrowFileIO.__module__}.{PyArrowFileIO.__name__}",
    }
    table = StaticTable.from_metadata(place(lake).location(snapshot.metadata), properties)
    assert sorted(table.scan().to_arrow().column("id").to_pylist()) == [1, 2]


def test_sweep_deletes_at_the_store_and_in_the_mirrors_of_each_machine(machine):
    one, two = machine("one"), machine("two")
    first = commit(one, [1], run="run-1")
    assert ids(two, first) == [1]
    second = commit(one, [2], base=first, change=ReplaceAll(), run="run-2")
    swept = one.sweep([second], unpinned={"run-1"}, older_than_hours=0)
    assert swept.files == 1 and swept.bytes > 0
    assert len([name for name in stored(one) if name.endswith(".parquet")]) == 1
    assert len(list(two.root.rglob("*.parquet"))) == 1
    assert two.sweep([second], older_than_hours=0).files == 1  # its copy of what is gone
    assert not list(two.root.rglob("*.parquet"))
    assert ids(machine("three"), second) == ids(two, second) == [2]


def test_a_file_that_was_uploaded_and_never_committed_is_swept(machine):
    lake = machine()
    snapshot = commit(lake, [1])
    orphan = write(lake.target("legs", SCHEMA), [5])
    name = str(Path(orphan.path).relative_to(lake.root))
    place(lake).keep([name])
    assert name in stored(lake)
    lake.sweep([snapshot], older_than_hours=24)
    assert name in stored(lake)  # a run may be about to commit it
    assert lake.sweep([snapshot], older_than_hours=0).files == 1
    assert name not in stored(lake)
    assert ids(machine("two"), snapshot) == [1]


def test_damage_at_the_store_is_found_although_the_mirror_is_sound(machine, server):
    lake = machine()
    snapshot = commit(lake, [1, 2])
    lake.settle()
    assert len(lake.verify([snapshot]).sound) == 1
    (path,) = lake.scan(snapshot).files
    name = str(Path(path).relative_to(lake.root))
    content = bytearray(place(lake).read(name) or b"")
    content[10] ^= 1
    place(lake).write(name, bytes(content))
    (damage,) = lake.verify([snapshot]).damaged
    assert (damage.table, damage.file) == ("legs", path)
    place(lake).delete([name])
    (damage,) = lake.verify([snapshot]).damaged
    assert "not" in damage.got.lower() or "no such" in damage.got.lower()


def test_erase_finds_and_forgets_files_of_all_machines(machine):
    one, two = machine("one"), machine("two")
    first = commit(one, [1])
    second = commit(two, [2], base=first)
    held = two.holding("1", lambda physical: ["id"])
    assert list(held.values()) == [1]
    kept = commit(two, [2], base=second, change=ReplaceAll())
    assert two.forget(held) >= {(first.physical, first.id), (second.physical, second.id)}
    with pytest.raises(StorageError):
        ids(machine("three"), first)
    assert ids(machine("three"), kept) == [2]


def test_a_catalog_that_lost_its_tables_is_pointed_to_the_newest_metadata(machine, catalog):
    lake = machine()
    snapshot = commit(lake, [1, 2])
    engine = create_engine(catalog.replace("://", "+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM iceberg_tables"))
    engine.dispose()
    again = commit(machine("two"), [3], base=snapshot)
    assert ids(lake, again) == [1, 2, 3]


def test_a_copied_lake_is_one_of_its_own_and_a_moved_one_stays_itself(machine, server):
    from pyarrow import fs

    lake = machine("one", "origin")
    commit(lake, [1])
    fs.copy_files("lakes/origin", "lakes/copied", server.system, server.system)
    copied = machine("two", "copied").identity
    assert (copied.copy_of, copied.place) == (lake.identity.id, "s3://lakes/copied")
    fs.copy_files("lakes/origin", "lakes/moved", server.system, server.system)
    server.system.delete_dir("lakes/origin")
    assert machine("three", "moved").identity.id == lake.identity.id


def save(lake: IcebergLake, artifact: str, content: bytes) -> None:
    (lake.root / artifact).mkdir(parents=True)
    (lake.root / artifact / "model.onnx").write_bytes(content)


def test_an_artifact_is_fetched_by_another_machine(machine):
    one, two = machine("one"), machine("two")
    save(one, "models/late/1", b"graph")
    assert one.keep_artifact("models/late/1")
    assert (two.artifacts / "models/late/1" / "model.onnx").read_bytes() == b"graph"
    with pytest.raises(StorageError, match="has no files"):
        _ = two.artifacts / "models/late/2"


def test_of_two_machines_that_save_one_number_only_one_has_it(machine):
    one, two = machine("one"), machine("two")
    save(one, "models/late/1", b"one")
    save(two, "models/late/1", b"two")
    assert one.keep_artifact("models/late/1") and not two.keep_artifact("models/late/1")
    assert (two.artifacts / "models/late/1" / "model.onnx").read_bytes() == b"one"
    assert (two.root / "models/late/1").is_dir()  # so the next free number is 2


def test_files_of_a_run_that_ended_before_it_kept_them_are_not_taken_for_the_artifact(machine):
    one, two = machine("one"), machine("two")
    save(one, "models/late/1", b"never kept")
    save(two, "models/late/1", b"kept")
    assert two.keep_artifact("models/late/1")
    assert (one.artifacts / "models/late/1" / "model.onnx").read_bytes() == b"kept"
    (one.root / "models/late/1" / "model.onnx").unlink()
    assert (one.artifacts / "models/late/1" / "model.onnx").read_bytes() == b"kept"


def test_a_directory_is_a_place_too(tmp_path: Path):
    lake = IcebergLake(tmp_path)
    assert isinstance(lake._place, Local) and lake.artifacts == tmp_path and lake.keep_artifact("models/late/1")


def test_files_of_one_snapshot_are_whole_at_the_store(machine, tmp_path: Path):
    lake = machine()
    snapshot = commit(lake, list(range(1_000)))
    (path,) = lake.scan(snapshot).files
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(place(lake).read(str(Path(path).relative_to(lake.root))) or b"")
    assert pq.read_metadata(copy).num_rows == 1_000


def test_two_machines_that_open_a_new_lake_at_once_give_it_one_identity(server, catalog, tmp_path: Path):
    """Both have seen that there is no lake. One of them is done before the other writes."""
    seen, done = threading.Barrier(2, timeout=60), threading.Event()

    class Slow(Remote):
        is_first = True

        def read(self, name: str) -> bytes | None:
            found = super().read(name)
            if self.is_first:
                self.is_first = False
                assert found is None
                seen.wait()
            return found

        def write(self, name: str, content: bytes, *, new: bool = False) -> bool:
            assert self.root.name == "one" or done.wait(60)
            return super().write(name, content)  # it has looked before

    url = f"s3://lakes/{uuid4().hex}"
    lakes = [IcebergLake(Slow(url, server.storage, tmp_path / name), catalog) for name in ("one", "two")]
    for lake in lakes:
        lake._catalog  # noqa: B018 - its tables are made first
    # Not `lake.identity`: Python 3.11 computes one cached property at a time.
    with ThreadPoolExecutor(2) as threads:
        one, two = (threads.submit(type(lake).identity.func, lake) for lake in lakes)
        one.add_done_callback(lambda _: done.set())
    third = IcebergLake(Remote(url, server.storage, tmp_path / "three"), catalog).identity
    assert one.result() == two.result() == third
    for lake in lakes:
        lake.close()


def test_an_upload_that_is_interrupted_leaves_no_file(machine, monkeypatch):
    from mainstem.lake.places import remote

    lake = machine()
    path = lake.root / "tables" / "t" / "data" / "big.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 12_000_000)
    name = "tables/t/data/big.parquet"

    def interrupted(source, stream, length):
        stream.write(source.read(8_000_000))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(remote.shutil, "copyfileobj", interrupted)
        place(lake).keep([name])
    assert not stored(lake)
    place(lake).keep([name])
    assert {entry.name: entry.size for entry in place(lake).listing("tables")} == {name: 12_000_000}


def test_a_file_that_was_cut_while_it_was_uploaded_is_withdrawn(machine, monkeypatch):
    from mainstem.lake.places import remote

    lake = machine()
    path = lake.root / "tables" / "t" / "data" / "big.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 12_000_000)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="8000000 bytes after the upload of 12000000"):
        patched.setattr(remote.shutil, "copyfileobj", lambda source, stream, _: stream.write(source.read(8_000_000)))
        place(lake).keep(["tables/t/data/big.parquet"])
    assert not stored(lake)


def test_files_are_shared_once_and_moved_at_the_store_and_in_the_mirror(machine):
    lake = machine()
    here = place(lake)
    path = lake.root / "tables" / "t" / "data" / "a.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"content")
    names = ["tables/t/data/a.parquet", "tables/t/data/elsewhere.parquet"]
    here.share(names)
    written = {entry.name: entry.changed for entry in here.listing("tables")}
    assert list(written) == names[:1]
    here.share(names)
    place(machine("two")).share(names)
    assert {entry.name: entry.changed for entry in here.listing("tables")} == written
    here.move(names[0], "tables/t/data/b.parquet")
    assert stored(lake) == {"tables/t/data/b.parquet"} and not path.exists()
    assert (path.parent / "b.parquet").read_bytes() == here.read("tables/t/data/b.parquet") == b"content"


def test_data_that_a_dead_run_handed_over_is_swept(machine):
    lake = machine()
    snapshot = commit(lake, [1])
    place(lake).write("tmp/handed-1/rows.parquet", b"rows")
    lake.sweep([snapshot], older_than_hours=24)
    assert stored(lake, "tmp") == {"tmp/handed-1/rows.parquet"}
    lake.sweep([snapshot], older_than_hours=-1)
    assert not stored(lake, "tmp") and ids(lake, snapshot) == [1]
