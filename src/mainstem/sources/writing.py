"""Write the parts of an extraction, each in the schema that was known when it was met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import ibis

from mainstem.errors import EngineError, SourceError
from mainstem.graph.named import named
from mainstem.masking import brief
from mainstem.nodes.hidden import CHECK, FILE, ORIGIN, QUARANTINE, RAW, RUN, SEQ, SET_ASIDE_AT
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.records import now
from mainstem.planning.execution import Context
from mainstem.planning.sampling import columns_of
from mainstem.ports import DataFile, Field, Session, Target
from mainstem.sources.sampled import kept
from mainstem.sources.texts import MISFIT
from mainstem.statistics.sampling import draw

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.sources.extraction import Part
    from mainstem.sources.setaside import SetAside, Unfit

INCOMING = "incoming"
PREFIX = "quarantine."


class Batch(NamedTuple):
    """The files of one part, in the columns that they were written with."""

    files: tuple[DataFile, ...]
    fields: tuple[Field, ...]


@dataclass
class Written:
    """What was written of an extraction so far. `drawn` is a sample of an only part; `unfit` counts the rows in `aside`
    that do not fit the schema."""

    next_seq: int
    rows: int = 0
    unfit: int = 0
    parts: int = 0
    drawn: pa.Table | None = None
    batches: list[Batch] = field(default_factory=list)
    aside: list[Batch] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """The hidden columns of a source, beside those of its schema, and where its rows are written. `known` are its
    columns before it was read, in their order; a schema may lack some that have no value."""

    context: Context
    name: str
    known: Mapping[str, str]
    hidden: Mapping[str, str]

    def columns(self, schema: Mapping[str, str]) -> dict[str, str]:
        """Return a schema with every known column."""
        return {**self.known, **schema}

    def target(self, schema: Mapping[str, str]) -> Target:
        """Return where to write rows."""
        return self.context.lake.target(self.name, {**self.columns(schema), **self.hidden})

    def aside(self, schema: Mapping[str, str]) -> Target:
        """Return where to write rows that are set aside, with where they came from and how they came."""
        columns = {**self.columns(schema), **self.hidden, **QUARANTINE, ORIGIN: "string", RAW: "string"}
        return self.context.lake.target(PREFIX + self.name, columns)


class Writer:
    """Writes parts of the source `name`, the rows numbered from `next_seq` on. `sampled` says that only a sample is
    taken. `file_bytes` splits the rows into files of about this size."""

    def __init__(self, layout: Layout, next_seq: int, sampled: bool, file_bytes: int | None = None) -> None:
        self.layout, self.context, self.sampled, self.file_bytes = layout, layout.context, sampled, file_bytes
        self.written = Written(next_seq)

    def write(self, part: Part) -> None:
        """Write a part. If its values do not fit, it is asked for again, in a wider schema."""
        part, target, files, drawn, aside = self._settled(part)
        rows = sum(file.rows for file in files)
        self._count(rows, Batch(files, target.fields), drawn)
        if aside:
            self._set_aside(Batch(aside, self.layout.aside(part.schema).fields))
        if part.name:
            self.context.report(f"{self.written.rows:,} rows, {Path(part.name).name}")

    def keep(self, unfit: SetAside, schema: Mapping[str, str]) -> None:
        """Write rows aside that were found unfit before they came to the engine."""
        for rows in unfit.blocks():
            self._keep(rows, schema)

    def _keep(self, unfit: list[Unfit], schema: Mapping[str, str]) -> None:
        import pyarrow as pa

        target = self.layout.aside(schema)
        held = pa.table({name: [getattr(each, name) for each in unfit] for name in ("reason", "origin", "raw")})
        table = ibis.table({"reason": "string", "origin": "string", "raw": "string"}, name=INCOMING)
        own = {CHECK: table.reason, ORIGIN: table.origin, RAW: table.raw}
        own |= {FILE: table.origin} if FILE in self.layout.hidden else {}
        with self.context.engine.session({INCOMING: held}) as session:
            self._set_aside(Batch(self._aside(session, table, target, own), target.fields))

    def _settled(self, part: Part) -> tuple[Part, Target, tuple[DataFile, ...], pa.Table | None, tuple[DataFile, ...]]:
        try:
            return (part, *self._write(part))
        except EngineError as error:
            if MISFIT not in str(error):
                raise
            if part.again is None:
                got = brief(str(error).partition(f"{MISFIT}: ")[2].partition("\n")[0])
                hint = 'declare a type that holds it: schema={…}, or contract="quarantine"'
                where = f"{self.layout.name}: {part.name}" if part.name else self.layout.name
                raise SourceError(MISFIT, where=where, got=got, hint=hint) from error
        return self._settled(part.again())

    def _write(self, part: Part) -> tuple[Target, tuple[DataFile, ...], pa.Table | None, tuple[DataFile, ...]]:
        target = replace(self.layout.target(part.schema), file_bytes=self.file_bytes)
        incoming = ibis.table(dict(part.columns), name=INCOMING)
        doubt = None if part.doubt is None else part.doubt(incoming)
        try:
            with self.context.engine.session({INCOMING: part.relation}) as session:
                rows = self._rows(part, incoming if doubt is None else incoming.filter(doubt.isnull()), target)
                files = session.write(rows, target)
                drawn = draw(session, target, files)
                aside = () if doubt is None else self._doubted(session, part, incoming, doubt)
                return target, files, drawn, aside
        except (EngineError, SourceError) as error:
            if part.feed is not None and part.feed.error is not None:
                raise part.feed.error from error
            raise

    def _rows(self, part: Part, table: ibis.Table, target: Target) -> ibis.Table:
        """Return the columns of the target, computed from the relation of a part."""
        given = {name: table[name] for name in part.columns} if part.values is None else part.values(table)
        own = {f.name: given.get(f.name, ibis.null(f.type)) for f in target.fields if f.name != SEQ}
        rows = self._sampled(table.select(*named(own)))
        if any(f.name == SEQ for f in target.fields):
            rows = rows.mutate(**{SEQ: ibis.row_number() + self.written.next_seq})
        return rows

    def _sampled(self, rows: ibis.Table) -> ibis.Table:
        sample = self.context.release.sample
        if sample is None or not self.sampled:
            return rows
        return kept(rows, columns_of(self.context.graph, sample, self.layout.name), sample.fraction)

    def _doubted(self, session: Session, part: Part, incoming: ibis.Table, doubt: Any) -> tuple[DataFile, ...]:
        """Write the rows that do not fit, as they came."""
        target = self.layout.aside(part.schema)
        rows = incoming.mutate(_why=doubt).filter(doubt.notnull())
        raw = ibis.struct({name: rows[name] for name in part.columns if name != FILE}).cast("json").cast("string")
        file = (part.values or (lambda table: {}))(rows).get(FILE, ibis.null(str))
        own = {CHECK: rows["_why"], ORIGIN: file, RAW: raw}
        return self._aside(session, rows, target, {**own, **({FILE: file} if FILE in self.layout.hidden else {})})

    def _aside(
        self, session: Session, table: ibis.Table, target: Target, own: Mapping[str, Any]
    ) -> tuple[DataFile, ...]:
        said = {RUN: ibis.literal(self.context.run), SET_ASIDE_AT: ibis.literal(now(), type=INSTANT), **own}
        values = {f.name: said.get(f.name, ibis.null(f.type)) for f in target.fields}
        return session.write(table.select(*named(values)), target)

    def _count(self, rows: int, batch: Batch, drawn: pa.Table | None) -> None:
        written = self.written
        written.next_seq += rows
        written.rows += rows
        written.parts += 1
        written.drawn = drawn if written.parts == 1 else None
        if batch.files:
            written.batches.append(batch)

    def _set_aside(self, batch: Batch) -> None:
        rows = sum(file.rows for file in batch.files)
        self.written.aside.append(batch)
        self.written.unfit += rows
        self.written.rows += rows
        self.written.drawn = None
