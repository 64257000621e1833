"""One commit: which files of its base a change replaces, and the snapshot that adds and removes them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from mainstem.errors import StorageError
from mainstem.lake.places.base import Place, relative
from mainstem.ports import Append, Change, DataFile, ReplaceAll, ReplaceFiles

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile as IcebergFile
    from pyiceberg.table import Table, Transaction


def replaced(table: str, change: Change) -> tuple[str, ...] | None:
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


def branch_of(run: str) -> str:
    """Return the name of a new Iceberg branch for a commit of a run."""
    return f"{_written(run)}-{uuid4().hex[:8]}"


def is_given_up(ref: str, given_up: Collection[str]) -> bool:
    """Return whether a tag, or the branch of a commit, belongs to a release, a version or a run that was given up."""
    return ref in given_up or ref.rpartition("-")[0] in map(_written, given_up)


def _written(run: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", run)


T = TypeVar("T")


def quick(transaction: T) -> T:
    """Return a PyIceberg transaction that works out its metadata once for what is staged, not at every look at it.

    A commit looks at it twenty times, and stages a dozen updates.
    """
    kind: Any = type(transaction)
    transaction.__class__ = _quick(kind)
    return transaction


@cache
def _quick(kind: Any) -> Any:
    def metadata(self: Any) -> Any:
        held = self._table.metadata, self._updates
        made = vars(self).get("_made")
        if made is None or made[0] is not held[0] or made[1] is not held[1]:
            made = vars(self)["_made"] = *held, kind.table_metadata.fget(self)
        return made[2]

    return type(kind.__name__, (kind,), {"table_metadata": property(metadata)})


def registered(iceberg: Table, place: Place, file: DataFile) -> IcebergFile:
    """Return the file with its statistics, read from its Parquet footer."""
    from pyiceberg.io.pyarrow import parquet_file_to_data_file

    try:
        registered = parquet_file_to_data_file(iceberg.io, iceberg.metadata, place.location(relative(file.path)))
    except ValueError as problem:
        if "partition value" not in str(problem):
            raise
        raise StorageError(
            "a partition has a text that is too long",
            where=file.path,
            got="more than 256 bytes, of which Parquet keeps only the beginning as the extremes of a file",
            expected="a column of shorter texts",
            hint="partition= by another column, or sort=",
        ) from None
    if registered.record_count != file.rows:
        raise StorageError(
            "a data file has the wrong number of rows",
            where=file.path,
            got=str(registered.record_count),
            expected=str(file.rows),
        )
    return registered


def produce(
    transaction: Transaction,
    ref: str,
    parent: int | None,
    added: Sequence[IcebergFile],
    removed: Sequence[IcebergFile],
    properties: dict[str, str],
) -> int:
    """Stage the single snapshot of a commit: an overwrite if it removes files, else an append. Return its id.

    It follows the snapshot `parent`, gets a branch `ref`, and is the current one in the commit's metadata file.
    """
    from pyiceberg.table.update.snapshot import ManageSnapshots

    first = not transaction.table_metadata.snapshots  # Iceberg allows only `main` as a table's first branch
    if parent is not None:
        ManageSnapshots(transaction).create_branch(parent, ref).commit()
    update = transaction.update_snapshot(snapshot_properties=properties, branch="main" if first else ref)
    producer: Any = update.overwrite() if removed else update.fast_append()
    with producer:
        for file in removed:
            producer.delete_data_file(file)
        for file in added:
            producer.append_data_file(file)
    id = int(producer.snapshot_id)
    if first:
        ManageSnapshots(transaction).create_branch(id, ref).commit()
    else:
        ManageSnapshots(transaction).set_current_snapshot(id).commit()
    return id
