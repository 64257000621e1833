"""Expire snapshots that no release needs, and delete the files that only they had."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from mainstem.lake.catalog import change, drop, folder
from mainstem.lake.catalogs.base import NAMESPACE
from mainstem.lake.changes import is_given_up
from mainstem.lake.checksums import is_of
from mainstem.lake.failures import explained
from mainstem.lake.files import LakeFiles
from mainstem.lake.manifests import data_files, manifests
from mainstem.lake.places.base import Place, relative
from mainstem.lake.recovery import load
from mainstem.ports import Snapshot, Sweep

if TYPE_CHECKING:
    from pyiceberg.table import Table

    from mainstem.lake.catalogs.base import LakeCatalog


DATA = ".parquet"


def sweep_lake(
    catalog: LakeCatalog,
    place: Place,
    keep: Sequence[Snapshot],
    unpinned: Collection[str],
    whole: bool,
    before: float,
) -> Sweep:
    """Sweep every table. With `whole` a table of which nothing is kept or held goes with all of its files."""
    with explained(place.where):
        _mend(catalog, place, keep)
        tables = [identifier[-1] for identifier in catalog.list_tables(NAMESPACE)]
        shown = catalog.offered()

    def swept(table: Table) -> Sweep:
        physical = table.name()[-1]
        kept = [snapshot for snapshot in keep if snapshot.physical == physical]
        if not whole or not _is_unneeded(table, place, kept, unpinned, before):
            return _sweep_table(table, place, kept, shown, unpinned, before)
        freed = _size_of(place, physical)
        drop(catalog, place, physical)
        return freed

    with explained(place.where):
        gone = [*_uncommitted(place, tables, before)] if whole else []
    found = [*gone, *(change(catalog, place, table, swept) for table in tables)]
    with explained(place.where):
        stale = [entry.size for entry in place.tidy(before) if entry.name.endswith(DATA)]
    found.append(Sweep(len(stale), sum(stale)))
    return Sweep(sum(each.files for each in found), sum(each.bytes for each in found))


def _mend(catalog: LakeCatalog, place: Place, keep: Sequence[Snapshot]) -> None:
    """Point the catalog at metadata that has the kept snapshots. It may have been lost, or restored from an earlier
    backup: what it does not know would count as files that nothing refers to."""
    from pyiceberg.exceptions import NoSuchTableError

    wanted: dict[str, set[int]] = {}
    for snapshot in keep:
        wanted.setdefault(snapshot.physical, set()).add(snapshot.id)
    for physical, ids in wanted.items():
        with suppress(NoSuchTableError):
            table = load(catalog, (NAMESPACE, physical), place)
            for id in ids:
                if all(each.snapshot_id != id for each in table.metadata.snapshots):
                    table = load(catalog, (NAMESPACE, physical), place, id)


def _uncommitted(place: Place, tables: Collection[str], before: float) -> Iterator[Sweep]:
    """Delete the folders of tables whose first commit never came."""
    for physical in place.folders("tables"):
        if physical not in tables and place.changed(folder(physical)) < before:
            yield _size_of(place, physical)
            place.drop(folder(physical))


def _sweep_table(
    table: Table,
    place: Place,
    keep: Sequence[Snapshot],
    offered: Collection[str],
    unpinned: Collection[str],
    before: float,
) -> Sweep:
    """Expire and delete for a table, what is older than the instant `before`. `offered` are the metadata files that
    readers outside Mainstem see."""
    # Files are listed before references are read, so a file committed in between is found referenced.
    found = list(place.listing(folder(table.name()[-1])))
    _expire(table, {snapshot.id for snapshot in keep}, unpinned, before)
    table.refresh()
    referenced = _referenced(table, place)
    live = {relative(path) for path in (*referenced, *offered, *(s.metadata for s in keep))}
    old = (entry for entry in found if entry.name not in live and entry.changed < before)
    orphans = [entry for entry in old if not is_of(entry.name, live)]
    data = [entry.size for entry in orphans if entry.name.endswith(DATA)]
    place.delete([entry.name for entry in orphans])
    return Sweep(len(data), sum(data))


def _is_unneeded(
    table: Table, place: Place, keep: Sequence[Snapshot], unpinned: Collection[str], before: float
) -> bool:
    """Return whether nothing of a table is kept or pinned, and no file of it is recent."""
    if keep or any(name != "main" and not is_given_up(name, unpinned) for name in table.metadata.refs):
        return False
    return place.changed(folder(table.name()[-1])) < before


def _size_of(place: Place, physical: str) -> Sweep:
    """Return the data files of a table."""
    data = [entry.size for entry in place.listing(f"{folder(physical)}/data") if entry.name.endswith(DATA)]
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


def _referenced(table: Table, place: Place) -> set[str]:
    """Return every file that the table's metadata refers to."""
    files = LakeFiles.of(place)
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
