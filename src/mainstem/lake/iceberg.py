"""Stored tables in Apache Iceberg, through PyIceberg.

Every commit goes to its own Iceberg branch, which begins at the snapshot that the release names. Therefore runs on two
branches of Mainstem never see each other's rows, and no pointer is lost: the shared state of a table is only added to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from mainstem.errors import StorageError
from mainstem.lake.failures import explained, retried
from mainstem.lake.identity import Identity, identify
from mainstem.lake.schema import fields_of, iceberg_schema, physical_name
from mainstem.ports import Append, Change, DataFile, ReplaceAll, ReplaceFiles, Scan, Snapshot, Target

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.manifest import DataFile as IcebergFile
    from pyiceberg.table import Table, Transaction

    from mainstem.lake.files import LakeFiles

NAMESPACE = "mainstem"
RUN = "mainstem.run"
CURSOR = "mainstem.cursor"
TABLE = "mainstem.table"
FILES = "mainstem.lake.files.LakeFiles"

T = TypeVar("T")


class IcebergLake:
    """Iceberg tables below the directory `root`, in the SQL catalog at `catalog_uri` (default: SQLite below the root).

    Tables are in `root/tables`, artifacts of models in `root/models`. The constructor reads and writes nothing. `admit`
    is called with the lake's identity before it is written or swept for the first time; it raises what forbids that.
    """

    def __init__(
        self,
        root: Path | str,
        catalog_uri: str | None = None,
        admit: Callable[[Identity], None] = lambda identity: None,
    ) -> None:
        self.root = Path(root).absolute()
        self._uri: Any = catalog_uri
        self._admit = admit
        self._known_to_be_ours: Identity | None = None
        self._known: set[str] = set()
        self._scans: dict[tuple[str, int], tuple[DataFile, ...]] = {}

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────

    def target(self, table: str, schema: Mapping[str, str]) -> Target:
        """Return where to write files of `table` with this schema. Raises `SchemaError` for an unsupported type."""
        self._admitted()
        fields = fields_of(schema)
        physical = physical_name(table, fields)
        if physical not in self._known:
            with explained(str(self._location(physical))):
                self._create(table, physical, fields)
            self._known.add(physical)
        return Target(directory=str(self._location(physical) / "data"), fields=fields)

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
        physical = physical_name(table, target.fields)
        replaced = _replaced(table, change)
        parent = None if replaced is None else base
        if parent is not None and parent.physical != physical:
            raise StorageError(
                f"the schema of {table!r} differs from that of the rows to append",
                got=physical,
                expected=parent.physical,
                hint="replace the rows: change=ReplaceAll()",
            )
        removed = self._removed(parent, replaced or ())
        cursor = cursor if cursor is not None or base is None else base.cursor
        own = dict(properties or {})
        written = own | {RUN: run, TABLE: table} | ({CURSOR: cursor} if cursor is not None else {})

        from pyiceberg.table.update.snapshot import ManageSnapshots

        from mainstem.lake.files import relative

        def attempt(iceberg: Table) -> tuple[int, str]:
            _begin(iceberg)
            added = [_registered(iceberg, file) for file in files]
            if files:
                _sync(target.directory, *(file.path for file in files))
            ref = f"{re.sub(r'[^A-Za-z0-9_.-]', '-', run)}-{uuid4().hex[:8]}"
            with iceberg.transaction() as transaction:
                if parent is not None:
                    ManageSnapshots(transaction).create_branch(parent.id, ref).commit()
                _produce(transaction, ref, added, removed, written)
            return iceberg.metadata.refs[ref].snapshot_id, relative(iceberg.metadata_location)

        id, metadata = self._change(physical, attempt)
        kept = 0 if parent is None else parent.rows - sum(file.record_count for file in removed)
        rows = kept + sum(file.rows for file in files)
        return Snapshot(table, physical, id, metadata, rows, run, target.fields, cursor, own)

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────

    def scan(self, snapshot: Snapshot) -> Scan:
        files = self.files_of(snapshot)
        return Scan(files=tuple(file.path for file in files), fields=snapshot.fields, rows=snapshot.rows)

    def files_of(self, snapshot: Snapshot) -> tuple[DataFile, ...]:
        """Return the data files of a snapshot, oldest first. Raises `StorageError` if the snapshot no longer exists."""
        key = (snapshot.physical, snapshot.id)
        if key not in self._scans:
            self._scans[key] = tuple(DataFile(self._here(f.file_path), f.record_count) for f in self._files(snapshot))
        return self._scans[key]

    # ── keeping ───────────────────────────────────────────────────────────────────────────────────────

    def pin(self, snapshot: Snapshot, tag: str) -> None:
        """Tag the snapshot. A tag of that name on another snapshot of the same table moves."""

        def attempt(iceberg: Table) -> None:
            held = iceberg.metadata.refs.get(tag)
            if held is None or held.snapshot_id != snapshot.id:
                iceberg.manage_snapshots().create_tag(snapshot.id, tag).commit()

        self._change(snapshot.physical, attempt)

    def publish(self, snapshot: Snapshot) -> None:
        """Move the table's `main` to the snapshot."""

        def attempt(iceberg: Table) -> None:
            if iceberg.metadata.current_snapshot_id != snapshot.id:
                iceberg.manage_snapshots().set_current_snapshot(snapshot.id).commit()

        self._change(snapshot.physical, attempt)

    def sweep(self, keep: Sequence[Snapshot], *, older_than_hours: float = 24.0) -> int:
        """Expire snapshots that are not kept, pinned, published or recent, and delete the data files that only they
        had."""
        from mainstem.lake.sweep import sweep_table

        self._admitted()
        with explained(str(self.root)):
            tables = [identifier[-1] for identifier in self._catalog.list_tables(NAMESPACE)]
        swept = 0
        for name in tables:
            kept = [snapshot for snapshot in keep if snapshot.physical == name]
            swept += self._change(
                name,
                partial(sweep_table, directory=self._location(name), keep=kept, older_than_hours=older_than_hours),
            )
        self._scans.clear()
        return swept

    def artifact_dir(self, name: str, number: int) -> Path:
        """Return the directory of a model version's artifact. It is created if needed."""
        path = self.root / "models" / name / str(number)
        with explained(str(path)):
            path.mkdir(parents=True, exist_ok=True)
        return path

    def close(self) -> None:
        """Close the catalog's connections. The next use opens them again."""
        if catalog := self.__dict__.pop("_catalog", None):
            catalog.engine.dispose()

    # ── inside ────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def identity(self) -> Identity:
        """The lake's identity. A lake that was copied, as with `cp -r`, becomes one of its own here."""
        with explained(str(self.root)):
            return identify(self.root)

    def _admitted(self) -> None:
        if self._known_to_be_ours is None:
            self._admit(self.identity)
            self._known_to_be_ours = self.identity

    def _here(self, location: str) -> str:
        return str(self._io.path(location))

    @cached_property
    def _io(self) -> LakeFiles:
        from mainstem.lake.files import LakeFiles

        return LakeFiles.of(self.root)

    @cached_property
    def _catalog(self) -> SqlCatalog:
        from pyiceberg.catalog.sql import SqlCatalog
        from pyiceberg.exceptions import NamespaceAlreadyExistsError

        from mainstem.lake.files import ROOT

        self.root.mkdir(parents=True, exist_ok=True)
        from sqlalchemy import URL

        # A path is no URL: a directory's name may have a `?` or a `%`.
        own = URL.create("sqlite", database=str(self.root / "catalog.db"), query={"timeout": "60"})
        properties: dict[str, Any] = {
            "uri": self._uri or own,
            "warehouse": str(self.root / "tables"),
            "py-io-impl": FILES,
            ROOT: str(self.root),
        }
        catalog = retried(lambda: SqlCatalog(NAMESPACE, **properties))
        with suppress(NamespaceAlreadyExistsError):
            catalog.create_namespace(NAMESPACE)
        return catalog

    def _location(self, physical: str) -> Path:
        return self.root / "tables" / physical

    def _create(self, table: str, physical: str, fields: Any) -> None:
        from pyiceberg.exceptions import TableAlreadyExistsError

        if self._catalog.table_exists((NAMESPACE, physical)):
            return
        # PyIceberg's retries are off: ours reload the table and treat all changes alike.
        properties = {TABLE: table, "commit.retry.num-retries": "0", "format-version": "2"}
        with suppress(TableAlreadyExistsError):
            self._catalog.create_table(
                (NAMESPACE, physical),
                iceberg_schema(fields),
                location=str(self._location(physical)),
                properties=properties,
            )

    def _change(self, physical: str, attempt: Callable[[Table], T]) -> T:
        """Apply a change to the current table, and retry if another writer was faster. Raises `ConflictError`."""
        with explained(str(self._location(physical))):
            return retried(lambda: attempt(self._catalog.load_table((NAMESPACE, physical))))

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
                current = self._catalog.load_table((NAMESPACE, snapshot.physical)).metadata_location
                listed = manifest_list(self._io, current, snapshot.id)
            # Manifests are listed newest first.
            found = reversed(manifests(self._io, listed))
            return [file for manifest in found for file in data_files(self._io, manifest)]


def _replaced(table: str, change: Change) -> tuple[str, ...] | None:
    """Return the data files of the base that a change replaces; None for all of them."""
    match change:
        case Append():
            return ()
        case ReplaceAll():
            return None
        case ReplaceFiles(files):
            return files
        case _:
            raise StorageError(
                f"{type(change).__name__} is an unsupported change of a stored table",
                where=table,
                got=repr(change),
                expected="Append, ReplaceAll or ReplaceFiles",
                hint="read the rows to keep, and replace all rows",
            )


def _begin(iceberg: Table) -> None:
    """Give a new table an empty `main`. Iceberg does not allow another branch to be a table's first."""
    if not iceberg.metadata.snapshots:
        with iceberg.transaction() as transaction:
            transaction.update_snapshot().fast_append().commit()


def _registered(iceberg: Table, file: DataFile) -> IcebergFile:
    """Return the file with its statistics, read from its Parquet footer."""
    from pyiceberg.io.pyarrow import parquet_file_to_data_file

    registered = parquet_file_to_data_file(iceberg.io, iceberg.metadata, file.path)
    if registered.record_count != file.rows:
        raise StorageError(
            "a data file has the wrong number of rows",
            where=file.path,
            got=str(registered.record_count),
            expected=str(file.rows),
        )
    return registered


def _sync(*paths: str) -> None:
    from mainstem.lake.files import sync

    for path in paths:
        sync(path)


def _produce(
    transaction: Transaction,
    ref: str,
    added: Sequence[IcebergFile],
    removed: Sequence[IcebergFile],
    properties: dict[str, str],
) -> None:
    """Stage the single snapshot of a commit: an overwrite if it removes files, else an append."""
    update = transaction.update_snapshot(snapshot_properties=properties, branch=ref)
    producer: Any = update.overwrite() if removed else update.fast_append()
    with producer:
        for file in removed:
            producer.delete_data_file(file)
        for file in added:
            producer.append_data_file(file)
