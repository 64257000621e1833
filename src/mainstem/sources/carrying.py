"""Rows that are stored already, in another schema: what was collected before a change of the schema is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis

from mainstem.errors import EngineError
from mainstem.graph.named import named
from mainstem.nodes.hidden import FILE, SEQ
from mainstem.planning.execution import Context
from mainstem.ports import DataFile, Field, Scan, Target

if TYPE_CHECKING:
    from mainstem.ports import Snapshot

STORED = "stored"


def carried(
    context: Context,
    files: Sequence[str],
    fields: Sequence[Field],
    target: Target,
    where: str,
    origins: Mapping[str, str] | None = None,
) -> tuple[DataFile, ...]:
    """Write the rows of data files in the target's schema, one file each. New columns are null.

    `origins` gives the path in `_file` for data files without this column, by name. Raises `SourceError` for a value
    that the new type of its column does not hold.
    """
    found, rows = list[DataFile](), 0
    for path in files:
        written = _carried(context, path, fields, target, where, rows, (origins or {}).get(Path(path).name))
        rows += sum(file.rows for file in written)
        found += written
    return tuple(found)


def _carried(
    context: Context, path: str, fields: Sequence[Field], target: Target, where: str, before: int, origin: str | None
) -> tuple[DataFile, ...]:
    from mainstem.sources.conversion import converted
    from mainstem.sources.texts import MISFIT

    table = ibis.table({f.name: f.type for f in fields}, name=STORED)
    values: dict[str, Any] = {}
    for field in target.fields:
        if field.name in table.columns:
            values[field.name] = converted(table[field.name], field.type)
        elif field.name == SEQ:
            values[field.name] = ibis.row_number() + before
        elif field.name == FILE:
            values[field.name] = ibis.literal(origin, "string")
        else:
            values[field.name] = ibis.null(field.type)
    with context.engine.session({STORED: Scan((path,), tuple(fields), 0)}) as session:
        try:
            return session.write(table.select(*named(values)), target)
        except EngineError as error:
            if MISFIT in str(error):
                _refuse(session, table, target, where)
            raise


def _refuse(session: Any, table: ibis.Table, target: Target, where: str) -> None:
    """Raise the error for the first stored value that its new type does not hold."""
    from mainstem.sources.conversion import fits
    from mainstem.sources.evolution import lossy

    for field in (field for field in target.fields if field.name in table.columns):
        column = table[field.name]
        unfit = table.filter(column.notnull() & ~fits(column, field.type)).select(field.name).limit(1)
        for row in session.fetch(unfit).to_pylist():
            raise lossy(field.name, str(column.type()), field.type, str(row[field.name]), f"{where}, as stored")


def origins_of(snapshot: Snapshot) -> dict[str, str]:
    """Return the file of the source that each data file has the rows of, from a cursor that still says so."""
    entries = json.loads(snapshot.cursor or "{}")
    return {name: path for path, entry in entries.items() if isinstance(entry, dict) for name in entry.get("data", ())}


def without(
    context: Context, files: Sequence[str], target: Target, origins: Sequence[str]
) -> tuple[list[str], tuple[DataFile, ...]]:
    """Return the data files that have rows from some files of the source, and new ones with their other rows."""
    touched = [path for path in files if _may_hold(path, origins)]
    found, left = list[str](), list[DataFile]()
    rows = ibis.table({f.name: f.type for f in target.fields}, name=STORED)
    gone = rows[FILE].isin(list(origins)).fill_null(False)
    for path in touched:
        with context.engine.session({STORED: Scan((path,), target.fields, 0)}) as session:
            held = session.fetch(rows.aggregate(all=rows.count(), gone=rows.count(where=gone))).to_pylist()[0]
            if held["gone"]:
                found.append(path)
                left += session.write(rows.filter(~gone), target) if held["gone"] < held["all"] else ()
    return found, tuple(left)


def _may_hold(path: str, origins: Sequence[str]) -> bool:
    """Return whether the statistics of a data file allow rows from one of the origins."""
    import pyarrow.parquet as pq

    from mainstem.sources.merging import leaf

    metadata = pq.read_metadata(path)
    number = leaf(metadata, FILE)
    if number is None:
        return False
    groups = (metadata.row_group(group).column(number).statistics for group in range(metadata.num_row_groups))
    return any(
        found is None or not found.has_min_max or any(found.min <= each <= found.max for each in origins)
        for found in groups
    )
