"""Merge small data files. The rows stay, so nothing downstream has to be built again.

A relation that grows gets a file with every run. Merged files are a new snapshot with the rows of the one before. The
release is published again with it, and with what is noted of the snapshot before: who has read it, and its statistics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis

from mainstem.errors import StorageError, UnknownName
from mainstem.nodes.records import Release
from mainstem.nodes.statistics import Statistics, statistics_id
from mainstem.nodes.tables import Table
from mainstem.planning.process import me
from mainstem.ports import DataFile, ReplaceFiles, Scan, Snapshot
from mainstem.tables.intervals import FILE_BYTES
from mainstem.tables.new_part import reads_instead
from mainstem.tables.parts import part_of

if TYPE_CHECKING:
    from mainstem.project.branch import Branch

SMALL = 32 * 2**20
"""Files of fewer bytes are merged."""
FULL = 128 * 2**20
"""About how many bytes a merged file has at most."""


@dataclass(frozen=True)
class Compacted:
    """A relation whose data files were merged: their number `before` and `after`, and the `bytes` that were written.

    `left` says why nothing was merged.
    """

    name: str
    before: int
    after: int
    bytes: int = 0
    left: str = ""


def compact(branch: Branch, names: Sequence[str] = ()) -> tuple[Compacted, ...]:
    """Merge the small files of relations that the branch publishes, all if none is named, and publish the result.

    Returns one record for each named relation, or for each that has small files. Raises `UnknownName`, and
    `ConflictError` while a run is in progress on the branch.
    """
    with branch.adapters.state.hold(branch.branch, me()):
        release = branch.claim()
        for name in names:
            if name not in release.tables:
                raise UnknownName.among("published relation", name, release.tables)
        done, instead = list[Compacted](), dict[str, Snapshot]()
        for name in names or sorted(release.tables):
            groups = _groups(branch, release.tables[name])
            behind = _behind(branch, release, name) if groups else []
            if groups and not behind:
                made, written = _merged(branch, release.tables[name], groups)
                instead[name] = made
                done.append(Compacted(name, _files(branch, release.tables[name]), _files(branch, made), written))
            elif names or behind:
                count = _files(branch, release.tables[name])
                left = f"{', '.join(behind)} has not read its newest rows: mainstem run" if behind else ""
                done.append(Compacted(name, count, count, left=left or "its files are large, or it has one only"))
        if instead:
            branch.adapters.lake.settle()
            branch.republish(_with(release, instead))
            _keep_statistics(branch, release, instead)
        return tuple(done)


def _groups(branch: Branch, snapshot: Snapshot) -> list[list[str]]:
    """Return groups of small files, oldest first, each to be merged into one: of one part of a partitioned table.

    Files of a table that replaces a part of its rows stay as small as it writes them.
    """
    small, full = (FILE_BYTES // 4, FILE_BYTES) if _replaces_parts(branch, snapshot.table) else (SMALL, FULL)
    parts: dict[object, list[list[str]]] = {}
    sizes: dict[object, int] = {}
    for path in branch.adapters.lake.scan(snapshot).files:
        bytes = Path(path).stat().st_size
        if bytes >= small:
            continue
        part = part_of(path, snapshot.partition)
        groups = parts.setdefault(part, [])
        if not groups or sizes[part] + bytes > full:
            groups.append([])
            sizes[part] = 0
        groups[-1].append(path)
        sizes[part] += bytes
    return [group for groups in parts.values() for group in groups if len(group) > 1]


def _replaces_parts(branch: Branch, name: str) -> bool:
    node = branch.graph[name].node if name in branch.graph else None
    if isinstance(node, Table):
        return bool(node.incremental or node.write or node.versions)
    return bool(getattr(node, "merges", False))


def _behind(branch: Branch, release: Release, name: str) -> list[str]:
    """Return the tables that have not read the newest rows of a relation.

    They find what is new by comparing files, so these must stay until they have been built.
    """
    newest = release.tables[name].id
    reads = {table: release.inputs.get(f"build {table}", {}) for table in branch.graph.of(Table)}
    return sorted(table for table, read in reads.items() if read.get(name, newest) != newest)


def _merged(branch: Branch, snapshot: Snapshot, groups: Iterable[Sequence[str]]) -> tuple[Snapshot, int]:
    """Return a snapshot with the same rows in fewer files, and the bytes that were written for it."""
    lake, engine = branch.adapters.lake, branch.adapters.engine
    types = {field.name: field.type for field in snapshot.fields}
    target = lake.target(snapshot.table, types, snapshot.partition)
    branch.reading("compaction").refuse_damaged(snapshot)
    node: Any = branch.graph[snapshot.table].node if snapshot.table in branch.graph else None
    order = [node.intervals] if isinstance(node, Table) and node.intervals else list(getattr(node, "sort", ()))
    gone, new = list[str](), list[DataFile]()
    for group in groups:
        with engine.session({"rows": Scan(tuple(group), snapshot.fields, 0)}) as session:
            rows = ibis.table(types, name="rows")
            new += session.write(rows.order_by(list(order)) if order else rows, target)
        gone += group
    made = lake.commit(
        snapshot.table,
        target,
        new,
        base=snapshot,
        run=snapshot.run,
        change=ReplaceFiles(tuple(gone)),
        properties=snapshot.properties,
    )
    if made.rows != snapshot.rows:
        raise StorageError(
            "the merged files have other rows",
            where=snapshot.table,
            got=f"{made.rows:,} rows",
            expected=f"{snapshot.rows:,} rows",
        )
    return made, sum(Path(file.path).stat().st_size for file in new)


def _with(release: Release, instead: Mapping[str, Snapshot]) -> Release:
    """Return the content of a release with other snapshots of the same rows."""
    pairs = {name: (release.tables[name], made) for name, made in instead.items()}
    tables = {name: reads_instead(instead.get(name, snapshot), pairs) for name, snapshot in release.tables.items()}
    inputs = {
        node: {
            name: pairs[name][1].id if name in pairs and id == pairs[name][0].id else id for name, id in read.items()
        }
        for node, read in release.inputs.items()
    }
    return replace(release, tables=tables, inputs=inputs)


def _keep_statistics(branch: Branch, release: Release, instead: Mapping[str, Snapshot]) -> None:
    state = branch.adapters.state
    for name, made in instead.items():
        known = state.get(Statistics, statistics_id(release.tables[name]))
        if known is not None:
            state.save(replace(known, id=statistics_id(made), snapshot=made.id))


def _files(branch: Branch, snapshot: Snapshot) -> int:
    return len(branch.adapters.lake.scan(snapshot).files)
