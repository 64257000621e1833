"""Find and delete the data files that have some rows, with every snapshot that refers to them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING

from mainstem.lake.catalog import NAMESPACE, change, drop, location
from mainstem.lake.checksums import is_of
from mainstem.lake.failures import explained
from mainstem.lake.files import LakeFiles, relative
from mainstem.lake.manifests import current, data_files, manifests
from mainstem.nodes.hidden import RAW

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table import Table


def holding(directory: Path, columns: Collection[str], value: str) -> dict[str, int]:
    """Return the data files below a table's directory with rows where one of the columns has the value, and the number
    of these rows. A row that was set aside as it came has its columns in a text.

    Raises `OSError` and `ValueError` for a damaged file.
    """
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    found = {}
    for path in sorted((directory / "data").glob("*.parquet")):
        rows = ds.dataset(path, format="parquet")
        wanted = {name: typed(value, rows.schema.field(name).type) for name in columns if name in rows.schema.names}
        tests = [ds.field(name) == each for name, each in wanted.items() if each is not None]
        if RAW in rows.schema.names:
            tests += [pc.match_substring_regex(ds.field(RAW), in_raw(name, value)) for name in columns]
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


def forget(catalog: SqlCatalog, root: Path, paths: Collection[str]) -> set[tuple[str, int]]:
    """Delete data files and every snapshot that refers to one of them. Return these, as physical table and id."""
    files = LakeFiles.of(root)
    gone = set[tuple[str, int]]()
    for physical in sorted({Path(path).parent.parent.name for path in paths}):
        own = [path for path in paths if Path(path).parent.parent.name == physical]
        with explained(str(root)):
            exists = catalog.table_exists((NAMESPACE, physical))

        def forgotten(table: Table, own: Collection[str] = own) -> set[int]:
            ids = snapshots_with(table, files, own)
            if ids == {snapshot.snapshot_id for snapshot in table.metadata.snapshots}:
                drop(catalog, root, table.name()[-1])
                return ids
            if ids:
                drop_snapshots(table, ids)
                table.refresh()
            delete_files(table, location(root, table.name()[-1]), files, ids, own)
            return ids

        gone |= {(physical, id) for id in (change(catalog, root, physical, forgotten) if exists else ())}
        for path in own:
            Path(path).unlink(missing_ok=True)
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


def delete_files(
    table: Table, directory: Path, files: LakeFiles, gone: Collection[int], paths: Collection[str]
) -> None:
    """Delete data files with their checksums, the manifests that no snapshot refers to any more, since these have the
    extremes of columns, and the metadata files that show a snapshot that is gone."""
    live = {relative(path) for path in _manifests_of(table, files)}
    for path in (directory / "metadata").glob("*.avro"):
        if relative(path) not in live:
            path.unlink(missing_ok=True)
    for path in (directory / "metadata").glob("*.metadata.json"):
        if current(files, str(path)) in gone:
            path.unlink(missing_ok=True)
    dead = {relative(path) for path in paths}
    for path in (directory / "data").iterdir():
        if path.is_file() and (relative(path) in dead or is_of(path, dead, relative(path))):
            path.unlink(missing_ok=True)


def _manifests_of(table: Table, files: LakeFiles) -> Iterator[str]:
    for snapshot in table.metadata.snapshots:
        yield snapshot.manifest_list
        yield from (manifest.manifest_path for manifest in manifests(files, snapshot.manifest_list))
