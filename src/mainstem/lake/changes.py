"""One commit: which files of its base a change replaces, and the snapshot that adds and removes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mainstem.errors import StorageError
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


def begin(iceberg: Table) -> None:
    """Give a new table an empty `main`. Iceberg does not allow another branch to be a table's first."""
    if not iceberg.metadata.snapshots:
        with iceberg.transaction() as transaction:
            transaction.update_snapshot().fast_append().commit()


def registered(iceberg: Table, file: DataFile) -> IcebergFile:
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


def produce(
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
