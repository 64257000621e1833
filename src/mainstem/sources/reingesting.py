"""Rows that were set aside, as rows that come in again: after a change of the contract, the schema or the checks."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import ibis

from mainstem.nodes.apis import Api
from mainstem.nodes.files import Files
from mainstem.nodes.hidden import CHECK, FILE, ORIGIN, RAW
from mainstem.planning.execution import Context
from mainstem.ports import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.sources.evolution import Shape
    from mainstem.sources.extraction import Part

ROWS = 10_000
"""The most rows at a time."""


def origins(context: Context, aside: Snapshot) -> set[str]:
    """Return the files of the source that rows were set aside from."""
    if not any(field.name == FILE for field in aside.fields):
        return set()
    table = _table(aside)
    with context.engine.session({aside.table: context.scan(aside)}) as session:
        return set(session.fetch(table.select(FILE).distinct())[FILE].to_pylist()) - {None}


def parts(context: Context, aside: Snapshot, shape: Shape, but: Collection[str]) -> Iterator[Part]:
    """Yield the rows that were set aside, without those from the files `but`, which are read again."""
    from mainstem.sources.arrow import arrow_schema
    from mainstem.sources.extraction import fed

    yield from fed(_batches(context, aside, shape, but), arrow_schema(shape.schema), "rows set aside")
    if _is_csv(shape.node):
        yield from _texts(context, aside, shape, but, shape.node)


def _is_csv(node: Any) -> TypeGuard[Files]:
    return isinstance(node, Files) and node.format == "csv"


def _texts(context: Context, aside: Snapshot, shape: Shape, but: Collection[str], node: Files) -> Iterator[Part]:
    """Yield the rows of CSV files as they came: their texts become values as those of a file do."""
    from mainstem.sources.formats.base import Reading
    from mainstem.sources.formats.csv import Retaken
    from mainstem.sources.setaside import Unfit

    table = _table(aside)
    if RAW not in table.columns:
        return
    reading = Reading(node, Path(), context.engine, shape, ())
    with context.engine.session({aside.table: context.scan(aside)}) as session:
        raw = _but(table, but).filter(table[RAW].notnull()).select(CHECK, RAW, ORIGIN, FILE)
        for batch in session.batches(raw, ROWS):
            rows = []
            for row in batch.to_pylist():
                found = json.loads(row[RAW])
                if isinstance(found, str):  # a line that is no row stays aside
                    shape.unfit.append(Unfit(row[CHECK], row[ORIGIN], row[RAW]))
                else:
                    rows.append((row[FILE] or row[ORIGIN] or "", found))
            for (file, _), some in groupby(rows, key=lambda row: (row[0], tuple(row[1]))):
                yield Retaken(reading, [row for _, row in some], file).part()


def _but(table: ibis.Table, but: Collection[str]) -> ibis.Table:
    """Return the rows that are not from these files."""
    return table.filter(table[FILE].isnull() | ~table[FILE].isin(list(but))) if FILE in table.columns and but else table


def _batches(context: Context, aside: Snapshot, shape: Shape, but: Collection[str]) -> Iterator[pa.RecordBatch]:
    from mainstem.sources.arrow import arrow_schema, conform

    table = _table(aside)
    has_file, has_raw = FILE in table.columns, RAW in table.columns
    rows = _but(table, but)
    typed = rows.filter(rows[RAW].isnull()) if has_raw else rows
    with context.engine.session({aside.table: context.scan(aside)}) as session:
        for batch in session.batches(typed, ROWS):
            yield _with_file(conform(batch, arrow_schema(shape.schema), shape.where), batch, has_file)
        if has_raw and not _is_csv(shape.node):
            raw = rows.filter(rows[RAW].notnull()).select(RAW, ORIGIN, *([FILE] if has_file else []))
            for batch in session.batches(raw, ROWS):
                found = groupby(batch.to_pylist(), key=lambda row: (row[ORIGIN], row.get(FILE)))
                for (origin, file), some in found:
                    yield from _again([json.loads(row[RAW]) for row in some], shape, origin or "", file, has_file)


def _again(
    records: list[dict[str, Any]], shape: Shape, origin: str, file: str | None, has_file: bool
) -> Iterator[pa.RecordBatch]:
    """Yield rows as they came. Those of a web page came as texts."""
    import pyarrow as pa

    from mainstem.sources.arrow import fit, from_records
    from mainstem.sources.kinds import kind_of

    node = shape.node
    messages = kind_of(node).again(records, shape)
    has_types = isinstance(node, Api) or (isinstance(node, Files) and node.format == "json")
    if messages is not None:
        batches = list(messages)
    elif has_types:
        batches = [from_records(records, shape, origin)]
    else:  # a batch has the columns of its first row
        alike = (list(some) for _, some in groupby(records, key=tuple))
        batches = [fit(_batch(some, shape, origin), shape, origin, loose=True) for some in alike]
    for batch in batches:
        files = pa.RecordBatch.from_pydict({FILE: pa.array([file] * batch.num_rows, pa.string())})
        yield _with_file(batch, files, has_file)


def _batch(records: list[dict[str, Any]], shape: Shape, origin: str) -> pa.RecordBatch:
    """Return rows of the same columns as a batch, also if the values of a column have several types."""
    from mainstem.sources.databases.values import batch_of

    names = list(records[0])
    return batch_of(names, [list(record.values()) for record in records], shape.schema, origin, shape.node.sets_aside)


def _with_file(batch: pa.RecordBatch, of: pa.RecordBatch, has_file: bool) -> pa.RecordBatch:
    import pyarrow as pa

    if not has_file:
        return batch
    fields = [*batch.schema, pa.field(FILE, pa.string())]
    return pa.RecordBatch.from_arrays([*batch.columns, of.column(FILE).cast(pa.string())], schema=pa.schema(fields))


def _table(aside: Snapshot) -> ibis.Table:
    return ibis.table({field.name: field.type for field in aside.fields}, name=aside.table)
