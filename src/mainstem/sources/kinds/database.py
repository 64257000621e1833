"""Databases: tables and queries of SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.graph.fingerprint import digest
from mainstem.nodes.sources import Database
from mainstem.ports import Engine
from mainstem.sources.extraction import Extraction, Request
from mainstem.sources.kind import SourceKind
from mainstem.sources.listing import stamp
from mainstem.sources.progress import last_of
from mainstem.sources.sqlite import declared_types, file_of

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt
    import pyarrow as pa

    from mainstem.sources.cursors import Watermark
    from mainstem.sources.postgresql import Column

SAMPLE = 1_000
"""The number of rows that tell the types of SQLite's columns that declare none."""


class DatabaseKind(SourceKind[Database]):
    """Unstored rows at or beyond the cursor's last value, or all rows without a cursor."""

    node_type = Database

    def extract(self, request: Request) -> Extraction:
        from mainstem.sources.adbc import scheme
        from mainstem.sources.arrow import arrow_schema, fit
        from mainstem.sources.cursors import Watermark

        node: Database = request.node
        schema = arrow_schema(request.schema)
        if scheme(node.url) == "sqlite":
            mark = Watermark(node.cursor, request.cursor) if node.cursor else None
            exact = (fit(batch, request.shape, node.table or "", loose=True) for batch in _exact(request, mark))
            return Extraction.appending(exact, schema, mark.text) if mark else Extraction.replacing(exact, schema)
        found, batches = _found(request), _batches(request)

        def fitted(batch: pa.RecordBatch) -> pa.RecordBatch:
            return fit(batch, request.shape, node.table or "", found=found, loose=True)

        if node.cursor is None:
            return Extraction.replacing((fitted(batch) for batch in batches), schema)
        mark = Watermark(node.cursor, request.cursor)
        return Extraction.appending((mark.fresh(fitted(batch)) for batch in batches), schema, mark.text)

    def introspect(self, source: Database, root: Path, engine: Engine) -> Mapping[str, str]:
        from mainstem.sources.inference import kept

        return {name: kept(type) for name, type in _columns(source, root).items()}

    def observe(self, source: Database, root: Path, cursor: str | None) -> str | None:
        if not source.url.startswith("sqlite:///"):
            return None  # other databases do not report when they changed
        file = file_of(source.url, root)
        wal = file.with_name(f"{file.name}-wal")
        if stamp(file) is None:
            raise FileNotFoundError(file)
        return digest(repr(stamp(file)), repr(stamp(wal)))

    def identity(self, source: Database) -> Mapping[str, Any]:
        return {name: getattr(source, name) for name in ("url", "table", "query", "cursor")}


# ── extraction ────────────────────────────────────────────────────────────────────────────────────────


def _exact(request: Request, mark: Watermark | None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of SQLite that were not read before. They are compared as they are stored."""
    from mainstem.sources.adbc import statement
    from mainstem.sources.arrow import require
    from mainstem.sources.inference import kept
    from mainstem.sources.sqlite import answered, batch_of

    node: Database = request.node
    count, where = 0, f"{request.where}, {node.table}" if node.table else request.where
    with answered(node, request.root, *statement(node, last_of(request.cursor))) as (names, groups):
        require([node.cursor] if node.cursor else [], names, request.where)
        declared = declared_types(node.url, request.root, node.table) if node.table else {}
        kinds = {name: kept(type) for name, type in declared.items()}
        for rows in groups:
            unread = mark.unread(names, rows) if mark else rows
            yield batch_of(names, unread, {**kinds, **request.schema}, where)
            count += len(rows)
            request.report(f"{count:,} rows")


def _batches(request: Request) -> Iterator[pa.RecordBatch]:
    from mainstem.sources.adbc import reading
    from mainstem.sources.arrow import require
    from mainstem.sources.postgresql import finite

    node: Database = request.node
    rows = 0
    with reading(node, *_query(request)) as reader:
        require([node.cursor] if node.cursor else [], reader.schema.names, request.where)
        for batch in reader:
            yield finite(batch, request.where)
            rows += batch.num_rows
            request.report(f"{rows:,} rows")


def _query(request: Request) -> tuple[str, tuple[Any, ...]]:
    from mainstem.sources.adbc import statement
    from mainstem.sources.arrow import require

    node: Database = request.node
    last = last_of(request.cursor)
    found = _postgresql_columns(node)
    require([node.cursor] if node.cursor else [], [column.name for column in found], request.where)
    kind = next((column.kind for column in found if column.name == node.cursor), "text")
    return statement(node, last, [column.sql for column in found], kind)


def _found(request: Request) -> dict[str, str]:
    """Return the columns that PostgreSQL has now, with their types."""
    from mainstem.sources.inference import kept
    from mainstem.sources.postgresql import types

    known = request.node.schema or {}
    found = types(_postgresql_columns(request.node), {**request.schema, **known})
    return {name: known.get(name, kept(type)) for name, type in found.items()}


# ── introspection ─────────────────────────────────────────────────────────────────────────────────────


def _columns(node: Database, root: Path) -> dict[str, dt.DataType]:
    """Return columns and types. Raises `SourceError` for an ambiguous type of PostgreSQL."""
    import ibis.expr.datatypes as dt

    from mainstem.sources.adbc import scheme, statement
    from mainstem.sources.postgresql import types
    from mainstem.sources.sqlite import answered, batch_of

    if scheme(node.url) != "sqlite":
        return types(_postgresql_columns(node), node.schema or {})
    with answered(node, root, f"{statement(node, None)[0]} LIMIT {SAMPLE}", ()) as (names, groups):
        first = batch_of(names, next(groups), node.schema or {}, node.table or node.url)
    found = {f.name: dt.DataType.from_pyarrow(f.type) for f in first.schema}
    declared = declared_types(node.url, root, node.table) if node.table else {}
    return {name: declared.get(name, type) for name, type in found.items()}


def _postgresql_columns(node: Database) -> list[Column]:
    """Return PostgreSQL's columns, from a query without rows."""
    from mainstem.sources.adbc import reading, statement
    from mainstem.sources.postgresql import described

    with reading(node, f"{statement(node, None)[0]} LIMIT 0", ()) as reader:
        return described(reader.schema)
