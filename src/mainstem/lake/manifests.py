"""What an Iceberg snapshot consists of, read from its metadata file and manifests. Both are immutable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from mainstem.errors import StorageError

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile, ManifestFile


class _Entry(msgspec.Struct, rename="kebab"):
    snapshot_id: int
    manifest_list: str


class _Metadata(msgspec.Struct, rename="kebab"):
    snapshots: list[_Entry] = []


def manifest_list(metadata: str, snapshot: int) -> str:
    """The path of a snapshot's manifest list. Raises `StorageError` if the snapshot is not in the metadata file."""
    from mainstem.lake.local import LocalFiles

    # Decoded by msgspec, which skips all else: a table's metadata holds every snapshot there ever was.
    with LocalFiles().new_input(metadata).open() as stream:
        decoded = msgspec.json.decode(stream.read(), type=_Metadata)
    for entry in decoded.snapshots:
        if entry.snapshot_id == snapshot:
            return entry.manifest_list
    raise StorageError(
        f"snapshot {snapshot} is gone", where=metadata, hint="garbage collection deleted it; use a later one"
    )


def manifests(manifest_list: str) -> list[ManifestFile]:
    from pyiceberg.manifest import read_manifest_list

    from mainstem.lake.local import LocalFiles

    return list(read_manifest_list(LocalFiles().new_input(manifest_list)))


def data_files(manifest: ManifestFile) -> Iterator[DataFile]:
    """The files that are live in a manifest."""
    from mainstem.lake.local import LocalFiles

    return (entry.data_file for entry in manifest.fetch_manifest_entry(LocalFiles(), discard_deleted=True))
