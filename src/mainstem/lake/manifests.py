"""What an Iceberg snapshot consists of, read from its metadata file and manifests. Both are immutable."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from mainstem.errors import StorageError

if TYPE_CHECKING:
    from pyiceberg.io import FileIO
    from pyiceberg.manifest import DataFile, ManifestFile


class _Entry(msgspec.Struct, rename="kebab"):
    snapshot_id: int
    manifest_list: str


class _Metadata(msgspec.Struct, rename="kebab"):
    snapshots: list[_Entry] = []


@lru_cache(maxsize=8)
def file_io() -> FileIO:
    from pyiceberg.io import load_file_io

    return load_file_io({})


def manifest_list(metadata: str, snapshot: int) -> str:
    """The path of a snapshot's manifest list. Raises `StorageError` if the snapshot is not in the metadata file."""
    # Decoded by msgspec, which skips all else: a table's metadata holds every snapshot there ever was.
    with file_io().new_input(metadata).open() as stream:
        decoded = msgspec.json.decode(stream.read(), type=_Metadata)
    for entry in decoded.snapshots:
        if entry.snapshot_id == snapshot:
            return entry.manifest_list
    raise StorageError(f"snapshot {snapshot} is gone", where=metadata, hint="it was swept; use a later one")


def manifests(manifest_list: str) -> list[ManifestFile]:
    from pyiceberg.manifest import read_manifest_list

    return list(read_manifest_list(file_io().new_input(manifest_list)))


def data_files(manifest: ManifestFile) -> Iterator[DataFile]:
    """The files that are live in a manifest."""
    return (entry.data_file for entry in manifest.fetch_manifest_entry(file_io(), discard_deleted=True))
