"""Look at a source without collecting it: is it there, in which schema, with which rows, and how fresh."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis

from mainstem.errors import EngineError, SourceError
from mainstem.graph.named import named
from mainstem.nodes.sources import Source
from mainstem.ports import Engine
from mainstem.sources.evolution import Shape
from mainstem.sources.extraction import Part, Request
from mainstem.sources.inspection import introspect
from mainstem.sources.kinds import kind_of
from mainstem.sources.texts import MISFIT

if TYPE_CHECKING:
    import pyarrow as pa

READ = 10_000
"""The most rows that a look reads."""
INCOMING = "incoming"


@dataclass(frozen=True)
class SourceColumn:
    """A column of a source: its type now, and in schemas.lock or the declaration; None where it is missing."""

    name: str
    type: str | None
    locked: str | None


@dataclass(frozen=True)
class Look:
    """What a look at a source found. `seconds` is the time until its schema was known.

    `latest` is the greatest `time` of the rows that were read, `age` how long ago that was.
    """

    name: str
    kind: str
    seconds: float
    columns: tuple[SourceColumn, ...]
    rows: tuple[Mapping[str, Any], ...]
    read: int
    whole: bool
    latest: datetime | None
    age: timedelta | None


def look(name: str, node: Source, root: Path, engine: Engine, locked: Mapping[str, str], rows: int) -> Look:
    """Look at a source. Raises `SourceError`, also if it cannot be reached."""
    began = time.monotonic()
    found = introspect(node, root, engine)
    seconds = time.monotonic() - began
    known = {**locked, **(node.schema or {})}
    columns = tuple(SourceColumn(c, found.get(c), known.get(c)) for c in dict.fromkeys([*known, *found]))
    sample, whole = read(name, node, root, engine, found)
    latest = _latest(sample, node.time)
    return Look(
        name,
        type(node).__name__.lower(),
        seconds,
        columns,
        tuple(sample.slice(0, rows).to_pylist()),
        sample.num_rows,
        whole,
        latest,
        None if latest is None else datetime.now(UTC) - latest,
    )


def read(name: str, node: Source, root: Path, engine: Engine, schema: Mapping[str, str]) -> tuple[pa.Table, bool]:
    """Return the first rows of a source, and whether these are all. Raises `SourceError`."""
    shape = Shape(node, dict(schema), f"{name} ({node.origin})")
    parts = iter(kind_of(node).extract(Request(name, node, root, None, shape, engine)).parts)
    part = next(parts, None)
    if part is None:
        return ibis_schema(schema).to_pyarrow().empty_table(), True
    try:
        found = _fitting(part, engine)
        whole = found.num_rows <= READ and next(parts, None) is None
        return found.slice(0, READ), whole
    finally:
        if part.feed is not None:
            part.feed.cancel()
        with suppress(Exception):
            _closed(parts)


def ibis_schema(schema: Mapping[str, str]) -> ibis.Schema:
    return ibis.schema(dict(schema))


def _fitting(part: Part, engine: Engine) -> pa.Table:
    """Return the rows of a part. If its values do not fit, it is asked for again."""
    try:
        return _rows(part, engine)
    except EngineError as error:
        if MISFIT not in str(error) or part.again is None:
            raise
    return _rows(part.again(), engine)


def _rows(part: Part, engine: Engine) -> pa.Table:
    incoming = ibis.table(dict(part.columns), name=INCOMING)
    given = {name: incoming[name] for name in part.columns} if part.values is None else part.values(incoming)
    wanted = {name: given[name].cast(type) for name, type in part.schema.items() if name in given}
    try:
        with engine.session({INCOMING: part.relation}) as session:
            return session.fetch(incoming.select(*named(wanted)).limit(READ + 1))
    except SourceError:
        raise
    except Exception as error:
        if part.feed is not None and part.feed.error is not None:
            raise part.feed.error from error
        raise


def _latest(rows: pa.Table, time: str | None) -> datetime | None:
    """Return the greatest instant of a column; a date counts from its beginning, in UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if time is None or time not in rows.column_names or not pa.types.is_temporal(rows.schema.field(time).type):
        return None
    greatest = pc.max(rows[time]).as_py()
    if greatest is None or isinstance(greatest, datetime):
        return greatest
    return datetime(greatest.year, greatest.month, greatest.day, tzinfo=UTC)


def _closed(parts: Iterator[Part]) -> None:
    close = getattr(parts, "close", None)
    if close is not None:
        close()
