"""Databases: tables and queries, read as a whole, by a cursor, or merged by key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.errors import SourceError
from mainstem.nodes.databases import Database
from mainstem.ports import Engine
from mainstem.sources.databases import dialect_of, scheme
from mainstem.sources.databases.files import observed
from mainstem.sources.extraction import Extraction, Merge, Request
from mainstem.sources.kind import SourceKind
from mainstem.sources.progress import last_of

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.sources.cursors import Watermark
    from mainstem.sources.databases.base import Column, Dialect, Window


class DatabaseKind(SourceKind[Database]):
    """All rows, or those at or beyond the cursor's last value, or those of a span. See `sources.databases`."""

    node_type = Database
    has_types = True

    def extract(self, request: Request) -> Extraction:
        from mainstem.sources.arrow import arrow_schema
        from mainstem.sources.cursors import Watermark

        node: Database = request.node
        reading = _Reading(request)
        schema = arrow_schema(request.schema)
        scope: Any = request.between or ("all" if last_of(request.cursor) is None else None)
        change = Merge(node.key, node.cursor, scope, appends=not node.merges)
        if node.cursor is None:
            return Extraction.replacing(reading.fitted(None), schema, change if node.merges else None)
        merges = node.merges or request.between is not None
        mark = Watermark(node.cursor, request.cursor, again=merges)
        if merges:
            cursor = mark.text if request.between is None else mark.text_of_span
            return Extraction.merging(reading.fitted(mark), schema, change, cursor, reading.told)
        return Extraction.appending(reading.fitted(mark), schema, mark.text, reading.told)

    def introspect(self, source: Database, root: Path, engine: Engine) -> Mapping[str, str]:
        from mainstem.sources.arrow import types_of
        from mainstem.sources.databases.base import types
        from mainstem.sources.inference import kept_types

        dialect = dialect_of(source.url)
        columns = dialect.columns(source, root)
        found = kept_types(types(columns, source.schema or {}))
        if len(found) < len(columns):  # their values tell their types
            with closing(dialect.batches(source, root, dialect.query(source, columns), source.schema)) as batches:
                first = next(batches, None)
            seen = {} if first is None else kept_types(types_of(first.schema))
            found = {column.name: found.get(column.name) or seen.get(column.name, "string") for column in columns}
        return found

    def observe(self, source: Database, root: Path, cursor: str | None) -> str | None:
        return observed(scheme(source.url), source.url, root)

    def identity(self, source: Database) -> Mapping[str, Any]:
        return {name: getattr(source, name) for name in ("url", "table", "query", "cursor")}


class _Reading:
    """Reads the rows of a request."""

    def __init__(self, request: Request) -> None:
        self.request, self.node = request, request.node
        self.dialect: Dialect = dialect_of(self.node.url)
        self.uncertain = 0

    def fitted(self, mark: Watermark | None) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the columns and types of the source, which may grow by them. `mark` passes those that were
        not read before, also of those that will be set aside."""
        from mainstem.sources.arrow import fit, require
        from mainstem.sources.databases.base import types
        from mainstem.sources.inference import kept_types

        request, node, shape = self.request, self.node, self.request.shape
        columns = self.dialect.columns(node, request.root)
        require([node.cursor] if node.cursor else [], [column.name for column in columns], request.where)
        declared = node.schema or {}
        named = kept_types(types(columns, {**request.schema, **declared}))
        is_typed = len(named) == len(columns) and self.dialect.is_typed
        found = {name: declared.get(name, type) for name, type in named.items()} if is_typed else None
        rows = 0
        window = self._window()
        query = self.dialect.query(node, self._with_types(columns), window)
        for batch in self.dialect.batches(node, request.root, query, {**named, **request.schema}):
            fresh = batch if mark is None else self._fresh(batch, mark, window)
            yield fit(fresh, shape, node.table or "", found=self.dialect.found(fresh, found), loose=True)
            rows += batch.num_rows
            request.report(f"{rows:,} rows")
        self._count_nulls(columns)

    def _fresh(self, batch: pa.RecordBatch, mark: Watermark, window: Window) -> pa.RecordBatch:
        """Return the rows that are wanted, by their cursor as a value of its type."""
        import pyarrow as pa
        import pyarrow.compute as pc

        from mainstem.sources.arrow import arrow_schema, cast, unfit
        from mainstem.sources.cursors import inside

        known = self.request.schema.get(self.node.cursor)
        values = batch.column(self.node.cursor)
        if known is not None:
            field = arrow_schema({self.node.cursor: known}).field(0)
            try:
                values = cast(values, field, self.request.where)
            except SourceError:  # cursors that are none: the contract decides about their rows
                odd = unfit(values, field)
                others = batch.filter(pc.invert(odd))
                rest = self._fresh(others, mark, window) if others.num_rows else others
                found = pa.Table.from_batches([rest, mark.unseen(batch.filter(odd))]).combine_chunks()
                return next(iter(found.to_batches()), batch.slice(0, 0))
        if self.request.between is not None:
            kept = inside(values, window.since, window.until)
            batch, values = batch.filter(kept), values.filter(kept)
        return mark.fresh(batch, values)

    def told(self) -> str:
        """Return how many rows the cursor does not reach, as text."""
        if not self.uncertain:
            return ""
        what = f"{self.uncertain:,} row{' has' if self.uncertain == 1 else 's have'} no {self.node.cursor}"
        again = "read again each time" if self.node.merges else "not read again: mainstem run --full-refresh reads them"
        return f"{what}, and {'is' if self.uncertain == 1 else 'are'} {again}"

    def _with_types(self, columns: list[Column]) -> list[Column]:
        """Return the columns with the types that are known, so that a cursor is compared as what it means."""
        import ibis

        known = self.request.schema
        if self.dialect.is_typed:
            return columns
        return [replace(each, type=ibis.dtype(known[each.name])) if each.name in known else each for each in columns]

    def _window(self) -> Window:
        from mainstem.nodes.spans import LAST, moment_of
        from mainstem.sources.cursors import earlier, plain
        from mainstem.sources.databases.base import ALL, Window

        request, node = self.request, self.node
        if node.cursor is None:
            return ALL
        type = request.schema.get(node.cursor, "string")
        if request.between is None:
            since = earlier(last_of(request.cursor), node.lag, type, request.where)
            return Window(since, nulls=node.merges)
        start, end = request.between
        as_value: Callable[[int], Any] = lambda second: plain(  # noqa: E731
            moment_of(second).date() if type.startswith("date") else moment_of(second)
        )
        return Window(as_value(start), None if end == LAST else as_value(end))

    def _count_nulls(self, columns: list[Column]) -> None:
        node = self.node
        if node.cursor is None or self.request.between is not None:
            return
        for batch in self.dialect.batches(node, self.request.root, self.dialect.nulls(node)):
            self.uncertain += int(batch.column(0)[0].as_py())
