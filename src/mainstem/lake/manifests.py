"""The content of an Iceberg snapshot, read from its metadata file and its manifests. Both are immutable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from mainstem.errors import SnapshotGone

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile, ManifestFile

    from mainstem.lake.files import LakeFiles


class _Entry(msgspec.Struct, rename="kebab"):
    snapshot_id: int
    manifest_list: str


class _Metadata(msgspec.Struct, rename="kebab"):
    snapshots: list[_Entry] = []


class _Current(msgspec.Struct, rename="kebab"):
    current_snapshot_id: int | None = None


def manifest_list(files: LakeFiles, metadata: str, snapshot: int) -> str:
    """Return the path of a snapshot's manifest list. Raises `SnapshotGone` if the metadata file lacks the snapshot."""
    # msgspec skips other fields: a table's metadata lists every past snapshot.
    with files.new_input(metadata).open() as stream:
        decoded = msgspec.json.decode(stream.read(), type=_Metadata)
    for entry in decoded.snapshots:
        if entry.snapshot_id == snapshot:
            return entry.manifest_list
    raise SnapshotGone(
        f"snapshot {snapshot} no longer exists", where=metadata, hint="garbage collection deleted it; use a later one"
    )


def current(files: LakeFiles, metadata: str) -> int | None:
    """Return the id of the current snapshot of a metadata file."""
    with files.new_input(metadata).open() as stream:
        return msgspec.json.decode(stream.read(), type=_Current).current_snapshot_id


def manifests(files: LakeFiles, manifest_list: str) -> list[ManifestFile]:
    from pyiceberg.manifest import read_manifest_list

    return list(read_manifest_list(files.new_input(manifest_list)))


def data_files(files: LakeFiles, manifest: ManifestFile) -> Iterator[DataFile]:
    """Yield the live data files of a manifest."""
    return (entry.data_file for entry in manifest.fetch_manifest_entry(files, discard_deleted=True))
