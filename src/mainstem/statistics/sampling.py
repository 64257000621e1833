"""A seeded sample of the rows of Parquet files.

New rows are drawn one by one by the session that has written them: it reads all of them, which costs little beside
writing them. Few rows are read without the engine, because compiling a query costs more. Of very many rows, and of rows
that were stored before, only the beginnings of some row groups are read, so that the cost does not grow with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import ibis
import pyarrow as pa

from mainstem.nodes.hidden import is_hidden
from mainstem.ports import DataFile, Engine, Field, Scan, Session, Target

SEED = 20_130_101
SAMPLED = 2_000
"""About how many rows a sample has."""
FEW = 65_536
"""The rows up to which all are read without the engine."""
FILES = 64
"""The most files and row groups that are read then."""
MANY = 2_000_000
"""The new rows from which on only the beginnings of some row groups are read, so that the cost stays the same."""
GROUPS_OF_MANY, DECODED = 16, 131_072
GROUPS = 4
"""The most row groups that are read of rows that were stored before."""

WRITTEN = "_written"
_OPAQUE = ("array", "binary", "uuid")


def drawable(fields: Sequence[Field]) -> tuple[Field, ...]:
    """Return the columns that samples have: visible ones, without arrays, binary values and UUIDs."""
    return tuple(f for f in fields if not is_hidden(f.name) and not f.type.lstrip("!").startswith(_OPAQUE))


def draw(session: Session, target: Target, files: Sequence[DataFile]) -> pa.Table | None:
    """Return a sample of the files that a session has just written; None for few or very many rows.

    Raises `EngineError`.
    """
    total = sum(file.rows for file in files)
    if not FEW < total <= MANY or not drawable(target.fields):
        return None
    session.add(WRITTEN, Scan(tuple(file.path for file in files), target.fields, total))
    relation = ibis.table({field.name: field.type for field in target.fields}, name=WRITTEN)
    shown = relation.select([field.name for field in drawable(target.fields)])
    return session.fetch(shown.sample(SAMPLED / total, method="row", seed=SEED))


def of_new(engine: Engine, target: Target, files: Sequence[DataFile]) -> pa.Table:
    """Return a sample of new files. Raises `EngineError` and the errors of Arrow."""
    if sum(file.rows for file in files) <= FEW or not drawable(target.fields):
        return of_groups([file.path for file in files], target.fields, FILES, FEW)
    if sum(file.rows for file in files) > MANY:
        return of_groups([file.path for file in files], target.fields, GROUPS_OF_MANY, DECODED)
    with engine.session({}) as session:
        drawn = draw(session, target, files)
    assert drawn is not None
    return drawn


def of_stored(paths: Sequence[str], fields: Sequence[Field]) -> pa.Table:
    """Return a sample of files that were stored before. Raises the errors of Arrow."""
    return of_groups(paths, fields, GROUPS, FEW)


def _alike(tables: Sequence[pa.Table]) -> pa.Table:
    """Return tables with the same columns as one. Files say which columns have nulls, and the engine's types for texts
    and the like may differ from those of files."""
    types = tables[0].schema.types
    return pa.concat_tables(
        [
            pa.table({n: c.cast(t) for n, c, t in zip(each.column_names, each.columns, types, strict=True)})
            for each in tables
        ]
    )


def together(samples: Sequence[tuple[pa.Table, int]]) -> pa.Table:
    """Return one sample of several sets of rows, given a sample of each and its number of rows."""
    chance, total = Random(SEED), sum(rows for _, rows in samples)
    if sum(drawn.num_rows for drawn, _ in samples) == total <= SAMPLED:
        return _alike([drawn for drawn, _ in samples])
    parts = [_drawn(drawn, round(SAMPLED * rows / max(total, 1)), chance) for drawn, rows in samples]
    return _alike(parts)


def of_groups(paths: Sequence[str], fields: Sequence[Field], most: int, decoded: int) -> pa.Table:
    """Return a sample of at most `most` files and row groups, chosen by size.

    If there is more to decode than `decoded` rows, rows are drawn from the beginning of each row group. The same files
    give the same rows.
    """
    names = [field.name for field in drawable(fields)]
    chance = Random(SEED)
    parts = _parts(_files(paths, most, chance), most, chance)
    total = sum(count for _, _, count in parts)
    if not total or not names:
        return ibis.schema({field.name: field.type for field in drawable(fields)}).to_pyarrow().empty_table()
    tables = [_read(file, group, names, max(decoded // len(parts), 1)) for file, group, _ in parts]
    drawn = [
        _drawn(table, round(SAMPLED * count / total), chance) if total > SAMPLED else table
        for table, (_, _, count) in zip(tables, parts, strict=True)
    ]
    for file, _, _ in parts:
        file.close()
    return _alike(drawn)


def _files(paths: Sequence[str], most: int, chance: Random) -> list[str]:
    """Return a few files: footers of all files would cost more than the sample."""
    if len(paths) <= most:
        return list(paths)
    sizes = [Path(path).stat().st_size for path in paths]
    return [paths[number] for number in _weighted(sizes, most, chance)]


def _parts(paths: Sequence[str], most: int, chance: Random) -> list[tuple[Any, int, int]]:
    """Return row groups: the file, the number of the group, and its rows."""
    import pyarrow.parquet as pq

    files = [pq.ParquetFile(path) for path in paths]
    parts = [
        (file, group, file.metadata.row_group(group).num_rows)
        for file in files
        for group in range(file.metadata.num_row_groups)
    ]
    if len(parts) <= most:
        return parts
    return [parts[number] for number in _weighted([rows for _, _, rows in parts], most, chance)]


def _weighted(weights: Sequence[int], most: int, chance: Random) -> list[int]:
    """Return distinct numbers in order, drawn by weight (Efraimidis and Spirakis, 2006)."""
    keys = {number: chance.random() ** (1 / max(weight, 1)) for number, weight in enumerate(weights)}
    return sorted(sorted(keys, key=keys.__getitem__, reverse=True)[:most])


def _read(file: Any, group: int, columns: Sequence[str], most: int) -> pa.Table:
    if file.metadata.row_group(group).num_rows <= most:
        return file.read_row_group(group, columns=list(columns))
    batch = next(file.iter_batches(most, row_groups=[group], columns=list(columns)))
    return pa.Table.from_batches([batch])


def _drawn(table: pa.Table, rows: int, chance: Random) -> pa.Table:
    if table.num_rows <= rows:
        return table
    return table.take(pa.array(sorted(chance.sample(range(table.num_rows), rows)), pa.int64()))
