"""The contract of the `Lake` port."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mainstem.errors import MainstemError, StorageError
from mainstem.ports import (
    Change,
    DataFile,
    Delete,
    Lake,
    ReplaceAll,
    ReplaceFiles,
    ReplaceInterval,
    Snapshot,
    Target,
    Upsert,
)

SCHEMA = {"id": "int64", "name": "string", "at": "timestamp('UTC', 6)"}

OpenLake = Callable[[], Lake]

UNSUPPORTED: tuple[Change, ...] = (
    ReplaceInterval(datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 1, 2, tzinfo=UTC)),
    Upsert(("id",)),
    Delete(("id",)),
)
"""Declared changes that no lake supports yet."""


def write(target: Target, ids: Iterable[int]) -> DataFile:
    """Write a data file of `SCHEMA` with these ids, as an engine does."""
    rows = list(ids)
    types = (pa.int64(), pa.string(), pa.timestamp("us", "UTC"))
    columns = (rows, [f"ü{n}" for n in rows], rows)
    table = pa.table(
        [pa.array(column, type) for column, type in zip(columns, types, strict=True)],
        schema=pa.schema(
            [
                pa.field(field.name, type, metadata={"PARQUET:field_id": str(field.id)})
                for field, type in zip(target.fields, types, strict=True)
            ]
        ),
    )
    path = Path(target.directory) / f"{uuid4().hex}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return DataFile(str(path), len(rows))


def ids(lake: Lake, snapshot: Snapshot) -> list[int]:
    """Return the ids in a snapshot, sorted, after a check of the scan's number of rows."""
    scan = lake.scan(snapshot)
    found = [n for path in scan.files for n in pq.read_table(path).column("id").to_pylist()]
    assert scan.rows == snapshot.rows == len(found)
    assert scan.fields == snapshot.fields
    return sorted(found)


def commit(lake: Lake, new: Sequence[int], base: Snapshot | None = None, **options: object) -> Snapshot:
    target = lake.target("legs", SCHEMA)
    files = (write(target, new),) if new else ()
    return lake.commit("legs", target, files, base=base, **{"run": "run-1", **options})  # type: ignore[arg-type]


class LakeContract:
    """Define the fixture `open_lake`: a function that opens the same lake again. It is empty at first."""

    def test_a_snapshot_reads_what_was_committed(self, open_lake: OpenLake) -> None:
        snapshot = commit(open_lake(), [1, 2, 3], run="run-7", cursor="c", properties={"k": "v"})
        assert ids(open_lake(), snapshot) == [1, 2, 3]
        assert (snapshot.table, snapshot.run, snapshot.cursor, snapshot.properties["k"]) == ("legs", "run-7", "c", "v")
        assert [(f.id, f.name) for f in snapshot.fields] == [(1, "id"), (2, "name"), (3, "at")]

    def test_an_append_keeps_what_the_base_has(self, open_lake: OpenLake) -> None:
        lake = open_lake()
        first = commit(lake, [1, 2], cursor="c1")
        second = commit(lake, [3], first)
        third = commit(open_lake(), [4], second, cursor="c3")
        assert ids(lake, third) == [1, 2, 3, 4]
        assert (second.cursor, third.cursor) == ("c1", "c3")
        assert ids(lake, first) == [1, 2]  # a snapshot never changes

    def test_two_branches_of_one_base_do_not_see_each_other(self, open_lake: OpenLake) -> None:
        lake, other = open_lake(), open_lake()
        base = commit(lake, [1])
        left, right = commit(lake, [2], base), commit(other, [3], base)
        left, right = commit(lake, [4], left), commit(other, [5], right)
        assert ids(lake, left) == [1, 2, 4]
        assert ids(lake, right) == [1, 3, 5]

    def test_replacing_all(self, open_lake: OpenLake) -> None:
        lake = open_lake()
        base = commit(lake, [1, 2], cursor="c1")
        replaced = commit(lake, [3], base, change=ReplaceAll())
        assert ids(lake, replaced) == [3]
        assert replaced.cursor == "c1"
        assert ids(lake, commit(lake, [], base, change=ReplaceAll())) == []

    def test_replacing_files(self, open_lake: OpenLake) -> None:
        lake = open_lake()
        first = commit(lake, [1, 2])
        (old,) = lake.scan(first).files
        second = commit(lake, [3], first)
        replaced = commit(lake, [9], second, change=ReplaceFiles((old,)))
        assert ids(lake, replaced) == [3, 9]
        assert ids(lake, second) == [1, 2, 3]
        assert ids(lake, commit(lake, [], second, change=ReplaceFiles((old,)))) == [3]
        assert ids(lake, commit(lake, [], second, change=ReplaceFiles(lake.scan(second).files))) == []

    def test_replacing_a_file_that_is_not_there(self, open_lake: OpenLake) -> None:
        lake = open_lake()
        base = commit(lake, [1])
        (old,) = lake.scan(base).files
        gone = commit(lake, [2], base, change=ReplaceFiles((old,)))
        with pytest.raises(StorageError):
            commit(lake, [3], gone, change=ReplaceFiles((old,)))
        with pytest.raises(StorageError):
            commit(lake, [3], None, change=ReplaceFiles((old,)))

    @pytest.mark.parametrize("change", UNSUPPORTED, ids=lambda change: type(change).__name__)
    def test_a_change_that_the_lake_cannot_make_is_refused(self, open_lake: OpenLake, change: Change) -> None:
        lake = open_lake()
        base = commit(lake, [1])
        with pytest.raises(StorageError, match=type(change).__name__) as caught:
            commit(lake, [1], base, change=change)
        assert "Append" in (caught.value.expected or "")
        assert ids(lake, base) == [1]

    def test_no_rows_at_all(self, open_lake: OpenLake) -> None:
        lake = open_lake()
        empty = commit(lake, [], cursor="c")
        assert ids(lake, empty) == []
        moved = commit(lake, [], commit(lake, [1], empty), cursor="c2")
        assert ids(lake, moved) == [1]
        assert moved.cursor == "c2"

    def test_another_schema_is_another_physical_table(self, open_lake: OpenLake) -> None:
        lake = open_lake()
        base = commit(lake, [1])
        wider = lake.target("legs", {**SCHEMA, "more": "float64"})
        with pytest.raises(StorageError):
            lake.commit("legs", wider, (), base=base, run="run-2")
        changed = lake.commit("legs", wider, (), base=base, run="run-2", change=ReplaceAll())
        assert changed.physical != base.physical
        assert ids(lake, base) == [1]
        assert lake.target("legs", SCHEMA).directory != wider.directory
        assert lake.target("legs", SCHEMA) == open_lake().target("legs", SCHEMA)

    def test_names_never_mix(self, open_lake: OpenLake) -> None:
        lake = open_lake()
        directories = {lake.target(name, SCHEMA).directory for name in ("a.b", "a__b", "a_b", "a b", "ä.b")}
        assert len(directories) == 5

    def test_every_type_that_can_be_declared(self, open_lake: OpenLake) -> None:
        types = ["boolean", "int8", "int16", "int32", "int64", "uint8", "uint64", "float32", "float64", "string"]
        types += ["date", "time", "timestamp", "timestamp('UTC')", "decimal(18, 3)", "binary", "uuid", "json"]
        types += ["array<int64>", "array<timestamp('UTC')>"]
        target = open_lake().target("wide", {f"c{n}": type for n, type in enumerate(types)})
        assert [field.id for field in target.fields] == list(range(1, len(types) + 1))
        assert target.fields[13].type == "timestamp('UTC', 6)"
        with pytest.raises(MainstemError, match="'c'"):
            open_lake().target("wide", {"c": "struct<a: int64>"})

    def test_a_file_that_is_cut_is_refused(self, open_lake: OpenLake) -> None:
        lake = open_lake()
        target = lake.target("legs", SCHEMA)
        file = write(target, range(1000))
        raw = Path(file.path).read_bytes()
        Path(file.path).write_bytes(raw[: len(raw) // 2])
        with pytest.raises(StorageError):
            lake.commit("legs", target, (file,), base=None, run="run-1")
        with pytest.raises(StorageError):
            lake.commit("legs", target, (DataFile(file.path + "x", 1),), base=None, run="run-1")
        with pytest.raises(StorageError, match="rows"):
            lake.commit("legs", target, (DataFile(write(target, [1]).path, 2),), base=None, run="run-1")

    def test_many_writers_of_one_table(self, open_lake: OpenLake) -> None:
        base = commit(open_lake(), [0])

        def add(n: int) -> Snapshot:
            return commit(open_lake(), [n], base, run=f"run-{n}")

        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(add, range(1, 9)))
        lake = open_lake()
        assert [ids(lake, snapshot) for snapshot in made] == [[0, n] for n in range(1, 9)]

    def test_many_writers_of_a_new_table(self, open_lake: OpenLake) -> None:
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda n: commit(open_lake(), [n], run=f"run-{n}"), range(8)))
        assert [ids(open_lake(), snapshot) for snapshot in made] == [[n] for n in range(8)]

    def test_pins_and_offers_change_no_snapshot(self, open_lake: OpenLake) -> None:
        lake = open_lake()
        first = commit(lake, [1])
        second = commit(lake, [2], first)
        for snapshot in (second, first, first):
            lake.pin(snapshot, "version-1")
            lake.offer({"legs": snapshot})
        assert ids(lake, first) == [1]
        assert ids(open_lake(), second) == [1, 2]

    def test_a_sweep_deletes_only_what_nobody_needs(self, open_lake: OpenLake) -> None:
        lake = open_lake()
        kept, pinned, last, loose = (commit(lake, [n]) for n in range(4))
        grown = commit(lake, [10], loose)
        lake.pin(pinned, "version-1")
        lake.pin(last, "version-2")
        orphan = write(lake.target("legs", SCHEMA), [99])
        assert lake.sweep([kept, grown], unpinned={"run-1"}, older_than_hours=1).files == 0  # all files are recent
        assert lake.sweep([kept, grown], unpinned={"run-1"}, older_than_hours=-1).files == 1
        assert not Path(orphan.path).exists()
        for snapshot, expected in ((kept, [0]), (pinned, [1]), (last, [2]), (grown, [3, 10])):
            assert ids(open_lake(), snapshot) == expected
        assert lake.sweep([kept], unpinned={"run-1"}, older_than_hours=-1).files == 2
        with pytest.raises(StorageError):
            open_lake().scan(grown)
        assert ids(lake, commit(lake, [5], kept)) == [0, 5]

    def test_a_snapshot_is_held_by_its_run_and_its_tags_until_they_are_given_up(self, open_lake: OpenLake) -> None:
        lake = open_lake()
        first, second = commit(lake, [1], run="run-1"), commit(lake, [2], run="run-2")
        lake.pin(first, "version-1")
        size = sum(Path(path).stat().st_size for path in lake.scan(first).files)
        assert lake.sweep([], older_than_hours=-1) == (0, 0)
        assert lake.sweep([second], unpinned={"run-1"}, older_than_hours=-1) == (0, 0)
        assert lake.sweep([second], unpinned={"run-1", "version-1"}, older_than_hours=-1) == (1, size)
        assert ids(open_lake(), second) == [2]
        assert lake.sweep([second], unpinned={"run-1", "version-1"}, older_than_hours=-1) == (0, 0)

    def test_a_table_of_which_nothing_is_kept_goes_as_a_whole(self, open_lake: OpenLake) -> None:
        lake = open_lake()
        only = commit(lake, [1])
        lake.pin(only, "version-1")
        given_up = {"run-1", "version-1"}
        directory = Path(lake.target("legs", SCHEMA).directory).parent
        assert lake.sweep([], unpinned=given_up, drop=True, older_than_hours=1).files == 0  # it is recent
        assert lake.sweep([], unpinned=given_up, drop=True, older_than_hours=-1).files == 1
        assert not directory.exists()
        never = write(lake.target("legs", SCHEMA), [2])  # a run that was killed before its commit
        assert lake.sweep([], drop=True, older_than_hours=1).files == 0
        assert lake.sweep([], drop=True, older_than_hours=-1).files == 1
        assert not Path(never.path).exists()
        assert ids(lake, commit(lake, [3])) == [3]  # it can be made again
