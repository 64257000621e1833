"""Find and delete the data files that have some rows, with every snapshot that refers to them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING

from mainstem.lake.catalog import change, drop, folder
from mainstem.lake.catalogs.base import NAMESPACE
from mainstem.lake.checksums import is_of
from mainstem.lake.failures import explained
from mainstem.lake.files import LakeFiles
from mainstem.lake.manifests import current, data_files, manifests
from mainstem.lake.places.base import Place, relative
from mainstem.nodes.hidden import RAW

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table

    from mainstem.lake.catalogs.base import LakeCatalog


def holding(place: Place, physical: str, columns: Collection[str], value: str) -> dict[str, int]:
    """Return the data files of a physical table with rows where one of the columns has the value, and the number
    of these rows. A row that was set aside as it came has its columns in a text.

    Raises `OSError` and `ValueError` for a damaged file.
    """
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    found = {}
    for name in _files_of(place, physical, "data", ".parquet"):
        path = place.here(name)
        rows = ds.dataset(path, format="parquet")
        own = [column for column in columns if column in rows.schema.names]
        wanted = {column: typed(value, rows.schema.field(column).type) for column in own}
        tests = [ds.field(column) == each for column, each in wanted.items() if each is not None]
        if RAW in rows.schema.names:
            tests += [pc.match_substring_regex(ds.field(RAW), in_raw(column, value)) for column in columns]
        if tests and (count := rows.count_rows(filter=reduce(or_, tests))):
            found[str(path)] = count
    return found


def in_raw(column: str, value: str) -> str:
    """Return a regular expression that finds a value of a column, at any depth, in a row that is JSON."""
    name, text = (re.escape(json.dumps(each, ensure_ascii=False)) for each in (column, value))
    field = rf"{name}: ?(?:{text}|{re.escape(value)}(?:\.0+)?)\s*[,}}\]]"
    # A line of a file and a message are texts without columns of their own: the value alone has to do.
    word = rf"^(?:\"|\{{\"topic\": )(?:[\s\S]*[^0-9A-Za-z_])?{re.escape(value)}(?:[^0-9A-Za-z_][\s\S]*)?$"
    return f"(?:{field})|(?:{word})"


def typed(value: str, type: pa.DataType) -> pa.Scalar | None:
    """Return a value as one of a column's type; None for a type that cannot hold it, so that no row has it."""
    import pyarrow as pa

    try:
        return pa.scalar(value).cast(type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def forget(catalog: LakeCatalog, place: Place, paths: Collection[str]) -> set[tuple[str, int]]:
    """Delete data files and every snapshot that refers to one of them. Return these, as physical table and id."""
    files = LakeFiles.of(place)
    gone = set[tuple[str, int]]()
    for physical in sorted({Path(path).parent.parent.name for path in paths}):
        own = [path for path in paths if Path(path).parent.parent.name == physical]
        with explained(place.where):
            exists = catalog.table_exists((NAMESPACE, physical))

        def forgotten(table: Table, own: Collection[str] = own) -> set[int]:
            ids = snapshots_with(table, files, own)
            if ids == {snapshot.snapshot_id for snapshot in table.metadata.snapshots}:
                drop(catalog, place, table.name()[-1])
                return ids
            if ids:
                drop_snapshots(table, ids)
                table.refresh()
            delete_files(table, place, files, ids, own)
            return ids

        gone |= {(physical, id) for id in (change(catalog, place, physical, forgotten) if exists else ())}
        with explained(place.where):
            place.delete(map(relative, own))
    return gone


def snapshots_with(table: Table, files: LakeFiles, paths: Collection[str]) -> set[int]:
    """Return the snapshots of a table that refer to one of these data files."""
    wanted = {relative(path) for path in paths}
    has = dict[str, bool]()
    found = set[int]()
    for snapshot in table.metadata.snapshots:
        for manifest in manifests(files, snapshot.manifest_list):
            if manifest.manifest_path not in has:
                held = data_files(files, manifest)
                has[manifest.manifest_path] = any(relative(file.file_path) in wanted for file in held)
            if has[manifest.manifest_path]:
                found.add(snapshot.snapshot_id)
                break
    return found


def drop_snapshots(table: Table, gone: Collection[int]) -> None:
    """Expire snapshots, whatever refers to them. One that stays becomes the current one."""
    from pyiceberg.table.update.snapshot import ExpireSnapshots, ManageSnapshots

    stay = [snapshot.snapshot_id for snapshot in table.metadata.snapshots if snapshot.snapshot_id not in gone]
    refs = {name: ref for name, ref in table.metadata.refs.items() if ref.snapshot_id in gone and name != "main"}
    with table.transaction() as transaction:
        if table.metadata.current_snapshot_id in gone:
            ManageSnapshots(transaction).set_current_snapshot(stay[-1]).commit()
        for name, ref in refs.items():
            manage = ManageSnapshots(transaction)
            (manage.remove_tag(name) if ref.snapshot_ref_type == "tag" else manage.remove_branch(name)).commit()
        ExpireSnapshots(transaction).by_ids(sorted(gone)).commit()


def delete_files(table: Table, place: Place, files: LakeFiles, gone: Collection[int], paths: Collection[str]) -> None:
    """Delete data files with their checksums, the manifests that no snapshot refers to any more, since these have the
    extremes of columns, and the metadata files that show a snapshot that is gone."""
    physical = table.name()[-1]
    live = {relative(path) for path in _manifests_of(table, files)}
    dead = [name for name in _files_of(place, physical, "metadata", ".avro") if name not in live]
    dead += [name for name in _files_of(place, physical, "metadata", ".metadata.json") if current(files, name) in gone]
    data = {relative(path) for path in paths}
    dead += [name for name in _files_of(place, physical, "data") if name in data or is_of(name, data)]
    place.delete(dead)


def _files_of(place: Place, physical: str, part: str, suffix: str = "") -> list[str]:
    """Return the names of a table's files of a suffix, in its folder `data` or `metadata`."""
    prefix = f"{folder(physical)}/{part}"
    names = (entry.name for entry in place.listing(prefix))
    return [name for name in names if name.endswith(suffix) and name.rpartition("/")[0] == prefix]


def _manifests_of(table: Table, files: LakeFiles) -> Iterator[str]:
    for snapshot in table.metadata.snapshots:
        yield snapshot.manifest_list
        yield from (manifest.manifest_path for manifest in manifests(files, snapshot.manifest_list))
