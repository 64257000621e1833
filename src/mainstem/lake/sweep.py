"""Expire snapshots that no release needs, and delete the files that only they had."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mainstem.lake.catalog import NAMESPACE, change, drop, location
from mainstem.lake.changes import is_given_up
from mainstem.lake.checksums import is_of
from mainstem.lake.failures import explained
from mainstem.lake.files import LakeFiles, relative
from mainstem.lake.manifests import data_files, manifests
from mainstem.lake.names import offered
from mainstem.ports import Snapshot, Sweep

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table import Table


DATA = ".parquet"


def sweep_lake(
    catalog: SqlCatalog,
    root: Path,
    keep: Sequence[Snapshot],
    unpinned: Collection[str],
    whole: bool,
    before: float,
) -> Sweep:
    """Sweep every table. With `whole` a table of which nothing is kept or held goes with all of its files."""
    with explained(str(root)):
        tables = [identifier[-1] for identifier in catalog.list_tables(NAMESPACE)]
        shown = offered(catalog)

    def swept(table: Table) -> Sweep:
        physical = table.name()[-1]
        kept = [snapshot for snapshot in keep if snapshot.physical == physical]
        directory = location(root, physical)
        if not whole or not is_unneeded(table, directory, kept, unpinned, before):
            return sweep_table(table, directory, kept, shown, unpinned, before)
        freed = size_of(directory)
        drop(catalog, root, physical)
        return freed

    found = [*(_uncommitted(root, tables, before) if whole else ()), *(change(catalog, root, t, swept) for t in tables)]
    return Sweep(sum(each.files for each in found), sum(each.bytes for each in found))


def _uncommitted(root: Path, tables: Collection[str], before: float) -> Iterator[Sweep]:
    """Delete the directories of tables whose first commit never came."""
    for directory in (root / "tables").glob("*"):
        if directory.name not in tables and not is_recent(directory, before):
            yield size_of(directory)
            shutil.rmtree(directory)


def sweep_table(
    table: Table,
    directory: Path,
    keep: Sequence[Snapshot],
    offered: Collection[str],
    unpinned: Collection[str],
    before: float,
) -> Sweep:
    """Expire and delete for the table in `directory`, what is older than the instant `before`. `offered` are the
    metadata files that readers outside Mainstem see."""
    # Files are listed before references are read, so a file committed in between is found referenced.
    found = [path for folder in ("data", "metadata") for path in (directory / folder).glob("*") if path.is_file()]
    _expire(table, {snapshot.id for snapshot in keep}, unpinned, before)
    table.refresh()
    referenced = _referenced(table, directory.parent.parent)
    live = {relative(path) for path in (*referenced, *offered, *(s.metadata for s in keep))}
    unreferenced = (path for path in found if relative(path) not in live and path.stat().st_mtime < before)
    orphans = [path for path in unreferenced if not is_of(path, live, relative(path))]
    data = [path.stat().st_size for path in orphans if path.suffix == DATA]
    for path in orphans:
        path.unlink(missing_ok=True)
    return Sweep(len(data), sum(data))


def is_unneeded(
    table: Table, directory: Path, keep: Sequence[Snapshot], unpinned: Collection[str], before: float
) -> bool:
    """Return whether nothing of a table is kept or pinned, and no file of it is recent."""
    if keep or any(name != "main" and not is_given_up(name, unpinned) for name in table.metadata.refs):
        return False
    return not is_recent(directory, before)


def is_recent(directory: Path, before: float) -> bool:
    """Return whether a directory, or a file in it, was changed at the instant `before` or later."""
    return any(path.stat().st_mtime >= before for path in (directory, *directory.rglob("*")))


def size_of(directory: Path) -> Sweep:
    """Return the data files of a table's directory."""
    data = [path.stat().st_size for path in (directory / "data").glob(f"*{DATA}")]
    return Sweep(len(data), sum(data))


def _expire(table: Table, keep: set[int], unpinned: Collection[str], before: float) -> None:
    """Drop old snapshots that are neither kept nor held, and the tags and branches that were given up."""
    from pyiceberg.table.update.snapshot import ExpireSnapshots, ManageSnapshots

    refs = {name: ref for name, ref in table.metadata.refs.items() if name != "main"}
    held = {ref.snapshot_id for name, ref in refs.items() if not is_given_up(name, unpinned)}
    old = {snapshot.snapshot_id for snapshot in table.metadata.snapshots if snapshot.timestamp_ms < before * 1000}
    stay = [s.snapshot_id for s in table.metadata.snapshots if s.snapshot_id not in old - keep - held]
    if not stay:  # a table has a current snapshot
        stay = [id for id in [table.metadata.current_snapshot_id] if id is not None]
    expired = old - keep - held - set(stay)
    loose = {
        name
        for name, ref in refs.items()
        if ref.snapshot_id in expired or (ref.snapshot_ref_type == "tag" and is_given_up(name, unpinned))
    }
    if not expired and not loose:
        return
    with table.transaction() as transaction:
        if table.metadata.current_snapshot_id in expired:
            ManageSnapshots(transaction).set_current_snapshot(stay[-1]).commit()
        for name in sorted(loose):
            ref = refs[name]
            manage = ManageSnapshots(transaction)
            (manage.remove_tag(name) if ref.snapshot_ref_type == "tag" else manage.remove_branch(name)).commit()
        if expired:
            ExpireSnapshots(transaction).by_ids(sorted(expired)).commit()


def _referenced(table: Table, root: Path) -> set[str]:
    """Return every file that the table's metadata refers to."""
    files = LakeFiles.of(root)
    live = {table.metadata_location}
    seen: set[str] = set()
    for snapshot in table.metadata.snapshots:
        live.add(snapshot.manifest_list)
        for manifest in manifests(files, snapshot.manifest_list):
            live.add(manifest.manifest_path)
            if manifest.manifest_path not in seen:
                seen.add(manifest.manifest_path)
                live.update(file.file_path for file in data_files(files, manifest))
    return live
