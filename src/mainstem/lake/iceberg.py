"""Stored tables in Apache Iceberg, through PyIceberg.

Every commit goes to its own Iceberg branch, which begins at the snapshot that the release names. Therefore runs on two
branches of Mainstem never see each other's rows, and no pointer is lost: the shared state of a table is only added to.
The branch is named after the run, and holds the snapshot until the run is given up. The metadata file of a commit has
its snapshot as the current one, so it shows that snapshot to any reader (ADR 19).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mainstem.errors import StorageError
from mainstem.lake.artifacts import Fetched, keep
from mainstem.lake.catalog import change, folder
from mainstem.lake.catalogs.base import NAMESPACE
from mainstem.lake.changes import branch_of, produce, quick, registered, replaced
from mainstem.lake.failures import explained, retried
from mainstem.lake.identity import Identity, identify
from mainstem.lake.places.base import Place, relative
from mainstem.lake.places.local import Local, sync
from mainstem.lake.recovery import load
from mainstem.lake.schema import fields_of, iceberg_partition, iceberg_schema, physical_name
from mainstem.ports import (
    Append,
    Artifacts,
    Change,
    DataFile,
    Partition,
    Scan,
    Snapshot,
    Sweep,
    Target,
    Verification,
)

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile as IcebergFile
    from pyiceberg.table import Table, Transaction

    from mainstem.lake.catalogs.base import LakeCatalog
    from mainstem.lake.checksums import Checksums
    from mainstem.lake.files import LakeFiles

RUN = "mainstem.run"
CURSOR = "mainstem.cursor"
TABLE = "mainstem.table"

T = TypeVar("T")


class IcebergLake:
    """Iceberg tables at a place, in the catalog at `catalog_uri` (default: SQLite below the place's root).

    The catalog is an SQL database, or a REST server at `http(s)://`, whose settings are in `rest`. The place is a
    directory, or a `Place` such as one at an object store. Tables are in its folder `tables`, artifacts of models in
    `models`. The constructor reads and writes nothing. `admit` is called with the lake's identity before it is written
    or swept for the first time; it raises what forbids that.
    """

    def __init__(
        self,
        place: Place | Path | str,
        catalog_uri: str | None = None,
        admit: Callable[[Identity], None] = lambda identity: None,
        rest: Mapping[str, str] | None = None,
    ) -> None:
        self._place = Local(Path(place).absolute()) if isinstance(place, str | Path) else place
        self.root = self._place.root
        self._uri = catalog_uri
        self._rest = rest or {}
        self._admit = admit
        self._known_to_be_ours: Identity | None = None
        self._scans: dict[tuple[str, int], tuple[DataFile, ...]] = {}
        self._turn = threading.RLock()  # steps of one run commit one after the other

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────

    def target(self, table: str, schema: Mapping[str, str], partition: Sequence[Partition] = ()) -> Target:
        """Return where to write files of `table` with this schema. Raises `SchemaError` for an unsupported type."""
        self._admitted()
        fields = fields_of(schema)
        where = folder(physical_name(table, fields, partition))
        with self._turn, explained(self._place.location(where)):
            _ = self._catalog  # opened here, so that its errors come before the rows are computed
        return Target(directory=str(self.root / where / "data"), fields=fields, partition=tuple(partition))

    def commit(
        self,
        table: str,
        target: Target,
        files: Sequence[DataFile],
        *,
        base: Snapshot | None,
        run: str,
        change: Change = Append(),  # noqa: B008 - frozen
        cursor: str | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> Snapshot:
        """Commit one new snapshot: the files of `base` that the change keeps, and `files`. Raises `StorageError`.

        `ReplaceInterval`, `Upsert` and `Delete` are unsupported and refused.
        """
        self._admitted()
        physical = physical_name(table, target.fields, target.partition)
        gone = replaced(table, change)
        parent = None if gone is None else base
        if parent is not None and parent.physical != physical:
            raise StorageError(
                f"the schema of {table!r} differs from that of the rows to append",
                got=physical,
                expected=parent.physical,
                hint="replace the rows: change=ReplaceAll()",
            )
        removed = self._removed(parent, gone or ())
        cursor = cursor if cursor is not None or base is None else base.cursor
        own = dict(properties or {})
        written = own | {RUN: run, TABLE: table} | ({CURSOR: cursor} if cursor is not None else {})

        def attempt() -> tuple[int, str]:
            with quick(self._transaction(table, physical, target, parent)) as transaction:
                iceberg = transaction._table
                added = [registered(iceberg, self._place, file) for file in files]
                id = produce(transaction, branch_of(run), parent.id if parent else None, added, removed, written)
            return id, relative(iceberg.metadata_location)

        with self._turn, explained(self._place.location(folder(physical))):
            if files:
                self._checksums.begin([file.path for file in files])
                self._place.keep(relative(file.path) for file in files)
                sync(target.directory)
            id, metadata = retried(attempt)
        kept = 0 if parent is None else parent.rows - sum(file.record_count for file in removed)
        rows = kept + sum(file.rows for file in files)
        if parent is None:  # its manifest need not be read again
            self._scans[physical, id] = tuple(DataFile(file.path, file.rows) for file in files)
        return Snapshot(table, physical, id, metadata, rows, run, target.fields, cursor, own, target.partition)

    def settle(self) -> None:
        """Wait until the checksums of all files that were committed are on disk. Raises `StorageError`."""
        with explained(self._place.where):
            self._checksums.settle()

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────

    def scan(self, snapshot: Snapshot) -> Scan:
        files = self.files_of(snapshot)
        with explained(self._place.where):
            self._place.fetch(relative(file.path) for file in files)
        return Scan(files=tuple(file.path for file in files), fields=snapshot.fields, rows=snapshot.rows)

    def files_of(self, snapshot: Snapshot) -> tuple[DataFile, ...]:
        """Return the data files of a snapshot, oldest first. Raises `StorageError` if the snapshot no longer exists."""
        key = (snapshot.physical, snapshot.id)
        if key not in self._scans:
            self._scans[key] = tuple(DataFile(self._here(f.file_path), f.record_count) for f in self._files(snapshot))
        return self._scans[key]

    def verify(
        self, snapshots: Sequence[Snapshot], *, before: datetime | None = None, seconds: float | None = None
    ) -> Verification:
        """Read the data files of snapshots, and compare them with the checksums of their commits.

        With `before`, only files that were not verified since are read, the oldest first, for at most about `seconds`.
        """
        until = None if seconds is None else time.monotonic() + seconds
        if before is None:
            return self._checksums.verify(self._tables_of(snapshots), until)
        aged = {s.physical: self._checksums.older(s.physical, before.timestamp()) for s in snapshots}
        due = {path: verified for files in aged.values() for path, verified in files.items()}
        tables = self._tables_of([snapshot for snapshot in snapshots if aged[snapshot.physical]])
        oldest = sorted(tables.keys() & due.keys(), key=due.__getitem__)
        return self._checksums.verify({path: tables[path] for path in oldest}, until)

    def _tables_of(self, snapshots: Sequence[Snapshot]) -> dict[str, str]:
        """Return the data files of snapshots, each with the table that it belongs to."""
        return {file.path: snapshot.table for snapshot in snapshots for file in self.files_of(snapshot)}

    # ── keeping ───────────────────────────────────────────────────────────────────────────────────────

    def pin(self, snapshot: Snapshot, tag: str) -> None:
        """Tag the snapshot. A tag of that name on another snapshot of the same table moves."""

        def attempt(iceberg: Table) -> None:
            held = iceberg.metadata.refs.get(tag)
            if held is None or held.snapshot_id != snapshot.id:
                iceberg.manage_snapshots().create_tag(snapshot.id, tag).commit()

        self._change(snapshot.physical, attempt)

    def offer(self, tables: Mapping[str, Snapshot]) -> None:
        """Show readers outside Mainstem these tables and no others: `legs` as `main.legs`, whatever its schema is.

        An SQL catalog moves all names in one transaction, a REST catalog moves one after the other.
        """
        with explained(self._place.where):
            places = {name: self._shown(snapshot) for name, snapshot in tables.items()}
            retried(lambda: self._catalog.offer(places))

    def _shown(self, snapshot: Snapshot) -> str:
        """Return the location of a metadata file that has the snapshot as its current one."""
        from mainstem.lake.manifests import current

        if current(self._io, snapshot.metadata) == snapshot.id:
            return self._place.location(snapshot.metadata)

        def attempt(iceberg: Table) -> str:
            iceberg.manage_snapshots().set_current_snapshot(snapshot.id).commit()
            return str(iceberg.metadata_location)

        return self._place.location(relative(self._change(snapshot.physical, attempt)))

    def sweep(
        self,
        keep: Sequence[Snapshot],
        *,
        unpinned: Collection[str] = (),
        drop: bool = False,
        older_than_hours: float = 24.0,
    ) -> Sweep:
        """Expire snapshots that are not kept, pinned or recent, and delete the data files that only they had. With
        `drop` a table of which nothing is kept or pinned goes as a whole."""
        from mainstem.lake.sweep import sweep_lake

        self._admitted()
        before = time.time() - older_than_hours * 3600
        swept = sweep_lake(self._catalog, self._place, keep, unpinned, drop, before)
        self._scans.clear()
        return swept

    def holding(self, value: str, columns: Callable[[str], Collection[str]]) -> dict[str, int]:
        """Return all data files, of whatever age, with rows where one of the columns has the value, and the number of
        these rows. `columns` are given the name of a physical table."""
        from mainstem.lake.erasing import holding

        with explained(self._place.where):
            tables = self._place.folders("tables")
            found = [holding(self._place, table, columns(table), value) for table in tables]
        return {path: rows for each in found for path, rows in each.items()}

    def forget(self, paths: Collection[str]) -> set[tuple[str, int]]:
        """Delete data files, and every snapshot that refers to one of them, whatever it is pinned by. Return these
        snapshots, each as its physical table and id. No run may be in progress."""
        from mainstem.lake.erasing import forget

        self._admitted()
        gone = forget(self._catalog, self._place, paths)
        self._scans.clear()
        return gone

    def artifact_dir(self, name: str, number: int) -> Path:
        """Return the directory of a model version's artifact. It is created if needed."""
        path = self.root / "models" / name / str(number)
        with explained(str(path)):
            path.mkdir(parents=True, exist_ok=True)
        return path

    def keep_artifact(self, artifact: str) -> bool:
        """Make an artifact durable that was saved below `root`, such as `models/late/3`.

        Return False if another run has saved one of that name: then the name is lost, and the files stay aside.
        """
        with explained(self._place.where):
            return keep(self._place, artifact)

    @cached_property
    def artifacts(self) -> Artifacts:
        """The artifacts of models: `artifacts / "models/late/3"` is a directory of this machine."""
        return self.root if isinstance(self._place, Local) else Fetched(self._place)

    def close(self) -> None:
        """Close the catalog's connections. The next use opens them again."""
        if catalog := self.__dict__.pop("_catalog", None):
            catalog.close()

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def identity(self) -> Identity:
        """The lake's identity. A lake that was copied, as with `cp -r`, becomes one of its own here."""
        with explained(self._place.where):
            if isinstance(self._place, Local):
                return identify(self._place)
            return identify(self._place, lambda id: self._catalog.proposed(self._place.where, id))

    def _admitted(self) -> None:
        with self._turn:
            if self._known_to_be_ours is None:
                self._admit(self.identity)
                self._known_to_be_ours = self.identity

    def _here(self, location: str) -> str:
        return str(self._io.path(location))

    @cached_property
    def _checksums(self) -> Checksums:
        from mainstem.lake.checksums import Checksums

        return Checksums(self._place)

    @cached_property
    def _io(self) -> LakeFiles:
        from mainstem.lake.files import LakeFiles

        return LakeFiles.of(self._place)

    @cached_property
    def _catalog(self) -> LakeCatalog:
        from mainstem.lake.catalog import open_catalog

        return open_catalog(self._place, self._uri, self._rest)

    def _transaction(self, table: str, physical: str, target: Target, parent: Snapshot | None) -> Transaction:
        """Return a transaction on the physical table, which has `parent`. A new table is created."""
        from pyiceberg.exceptions import NoSuchTableError

        try:
            known = None if parent is None else parent.id
            return load(self._catalog, (NAMESPACE, physical), self._place, known).transaction()
        except NoSuchTableError:
            # PyIceberg's retries are off: ours reload the table and treat all changes alike.
            return self._catalog.create_table_transaction(
                (NAMESPACE, physical),
                iceberg_schema(target.fields),
                partition_spec=iceberg_partition(target.fields, target.partition),
                location=self._place.location(folder(physical)),
                properties={TABLE: table, "commit.retry.num-retries": "0", "format-version": "2"},
            )

    def _change(self, physical: str, attempt: Callable[[Table], T]) -> T:
        """Apply a change to the current table, and retry if another writer was faster. Raises `ConflictError`."""
        return change(self._catalog, self._place, physical, attempt)

    def _removed(self, parent: Snapshot | None, paths: Sequence[str]) -> list[IcebergFile]:
        if not paths:
            return []
        live = {self._here(file.file_path): file for file in self._files(parent)} if parent else {}
        missing = sorted(set(paths) - set(live))
        if missing:
            raise StorageError(
                "a file to be replaced is not part of the snapshot", got=missing[0], expected="a data file of `base`"
            )
        return [live[path] for path in dict.fromkeys(paths)]

    def _files(self, snapshot: Snapshot) -> list[IcebergFile]:
        from mainstem.lake.manifests import data_files, manifest_list, manifests

        with explained(f"{snapshot.table}, snapshot {snapshot.id}"):
            try:
                listed = manifest_list(self._io, snapshot.metadata, snapshot.id)
            except FileNotFoundError:
                # The metadata file was deleted, but a pinned snapshot is still in the table's present metadata.
                current = load(self._catalog, (NAMESPACE, snapshot.physical), self._place).metadata_location
                listed = manifest_list(self._io, current, snapshot.id)
            # Manifests are listed newest first.
            found = reversed(manifests(self._io, listed))
            return [file for manifest in found for file in data_files(self._io, manifest)]
