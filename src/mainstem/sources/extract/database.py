"""Databases: tables and queries through ADBC, as Arrow from the driver to the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import ibis.expr.datatypes as dt
import pyarrow as pa

from mainstem.errors import MissingExtra, SourceError, SourceUnreachable
from mainstem.nodes.sources import Database
from mainstem.sources.arrow import arrow_schema, conform, require
from mainstem.sources.cursors import Watermark
from mainstem.sources.extraction import Extraction, Request
from mainstem.sources.progress import last_of
from mainstem.sources.secrets import expand, redact

BATCH = 65_536
"""Rows of a batch; SQLite's driver also takes the types from the first."""


def extract(request: Request) -> Extraction:
    """Rows at or beyond the cursor's last value that are not stored yet, or all rows where there is no cursor."""
    node: Database = request.node
    schema = arrow_schema(request.schema)
    batches = _batches(request)
    if node.cursor is None:
        return Extraction.replacing(_typed(batches, schema, request), schema)
    mark = Watermark(node.cursor, request.cursor)
    fresh = (mark.fresh(batch) for batch in batches)
    return Extraction.appending(_typed(fresh, schema, request), schema, mark.text)


def _typed(batches: Iterator[pa.RecordBatch], schema: pa.Schema, request: Request) -> Iterator[pa.RecordBatch]:
    return (conform(batch, schema, request.where) for batch in batches)


def _batches(request: Request) -> Iterator[pa.RecordBatch]:
    node: Database = request.node
    sql, parameters = statement(node, last_of(request.cursor))
    rows = 0
    with reading(node, request.root, sql, parameters) as reader:
        require([*request.schema, *([node.cursor] if node.cursor else [])], reader.schema.names, request.where)
        for batch in reader:
            yield batch
            rows += batch.num_rows
            request.report(f"{rows:,} rows")


def statement(node: Database, last: Any) -> tuple[str, tuple[Any, ...]]:
    """The SQL that reads what is new, and its parameters."""
    relation = f"({node.query})" if node.query else ".".join(map(_quoted, str(node.table).split(".")))
    sql = f"SELECT * FROM {relation} AS source"
    if node.cursor is None or last is None:
        return sql, ()
    placeholder = "?" if scheme(node.url) == "sqlite" else "$1"
    return f"{sql} WHERE source.{_quoted(node.cursor)} >= {placeholder}", (last,)


@contextmanager
def reading(node: Database, root: Path, sql: str, parameters: tuple[Any, ...]) -> Iterator[pa.RecordBatchReader]:
    """The answer to a query, as batches. Raises `SourceUnreachable` and `SourceError`, without a password in either."""
    adbc = _adbc()
    shown = redact(node.url)
    try:
        connection = _connect(node, root)
    except adbc.Error as error:
        raise SourceUnreachable(
            "the database cannot be reached", where=shown, got=redact(str(error), node.url), hint="is the url right?"
        ) from error
    try:
        with closing(connection), closing(connection.cursor()) as cursor:
            if scheme(node.url) == "sqlite":
                cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(BATCH)})
            cursor.execute(sql, parameters or None)
            yield cursor.fetch_record_batch()
    except (adbc.Error, pa.ArrowException, OSError) as error:
        raise SourceError(
            "the database refused the query", where=shown, got=redact(str(error).split("\n")[0], node.url), expected=sql
        ) from error


def _adbc() -> Any:
    try:
        import adbc_driver_manager
    except ImportError as error:
        raise MissingExtra.named("database", "adbc-driver-manager") from error
    return adbc_driver_manager


def scheme(url: str) -> str:
    """`sqlite` or `postgresql`; any other is returned as it is."""
    name = url.partition(":")[0].partition("+")[0]
    return "postgresql" if name == "postgres" else name


def sqlite_file(url: str, root: Path) -> Path:
    """The file of `sqlite:///data/registry.db`, below the project unless the path is absolute (four slashes)."""
    return root / expand(url).removeprefix("sqlite:///")


def _connect(node: Database, root: Path) -> Any:
    kind = scheme(node.url)
    try:
        if kind == "sqlite":
            import adbc_driver_sqlite.dbapi as sqlite

            return sqlite.connect(_read_only(node, root))
        if kind == "postgresql":
            import adbc_driver_postgresql.dbapi as postgresql

            return postgresql.connect("postgresql" + expand(node.url)[expand(node.url).index("://") :])
    except ImportError as error:
        raise MissingExtra.named("database", f"adbc-driver-{kind}") from error
    raise SourceError(
        f"databases of the kind {kind!r} are not supported", where=redact(node.url), expected="sqlite or postgresql"
    )


def _read_only(node: Database, root: Path) -> str:
    file = sqlite_file(node.url, root)
    if not file.is_file():
        raise SourceUnreachable("there is no such database file", where=str(file), got=redact(node.url))
    return f"{file.absolute().as_uri()}?mode=ro"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# ── introspection ─────────────────────────────────────────────────────────────────────────────────────


def columns(node: Database, root: Path) -> dict[str, dt.DataType]:
    """Columns and types: SQLite's declarations, which its driver does not tell, or else those of no rows at all."""
    few = 1_000 if scheme(node.url) == "sqlite" else 0
    sql, _ = statement(node, None)
    with reading(node, root, f"{sql} LIMIT {few}", ()) as reader:
        found = {f.name: dt.DataType.from_pyarrow(f.type) for f in reader.read_all().schema}
    declared = _declared(node, root) if few and node.table else {}
    return {name: declared.get(name, type) for name, type in found.items()}


def _declared(node: Database, root: Path) -> dict[str, dt.DataType]:
    with closing(sqlite3.connect(_read_only(node, root), uri=True)) as connection:
        rows = connection.execute("SELECT name, type FROM pragma_table_info(?)", (node.table,)).fetchall()
    return {name: type for name, declared in rows if (type := _affinity(declared.upper())) is not None}


def _affinity(declared: str) -> dt.DataType | None:
    """What a declared type of SQLite means; None where it says nothing."""
    words = (
        ("BOOL", dt.boolean),
        ("DATETIME", dt.timestamp),
        ("TIMESTAMP", dt.timestamp),
        ("DATE", dt.date),
        ("INT", dt.int64),
        ("CHAR", dt.string),
        ("TEXT", dt.string),
        ("CLOB", dt.string),
        ("BLOB", dt.binary),
        ("REAL", dt.float64),
        ("FLOA", dt.float64),
        ("DOUB", dt.float64),
        ("DEC", dt.float64),
        ("NUM", dt.float64),
    )
    return next((type for word, type in words if word in declared), None)
