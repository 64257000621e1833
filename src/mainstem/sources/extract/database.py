"""Databases: tables and queries through ADBC, as Arrow from the driver to the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import ibis.expr.datatypes as dt
import pyarrow as pa

from mainstem.errors import MissingExtra, SourceError, SourceUnreachable
from mainstem.nodes.sources import Database
from mainstem.sources.arrow import arrow_schema, conformed, require
from mainstem.sources.cursors import Watermark
from mainstem.sources.extract.postgresql import Column, address, described, finite, quoted, reason, types
from mainstem.sources.extraction import Extraction, Request
from mainstem.sources.progress import last_of
from mainstem.sources.secrets import expand, redact

SAMPLE = 1_000
"""Rows by which SQLite's driver takes the types of columns that declare none."""
BATCH = 65_536
"""Rows of a batch; SQLite's driver also takes the types from the first."""


def extract(request: Request) -> Extraction:
    """Rows at or beyond the cursor's last value that are not stored yet, or all rows where there is no cursor."""
    node: Database = request.node
    schema = arrow_schema(request.schema)
    batches = _batches(request)
    if node.cursor is None:
        return Extraction.replacing(conformed(batches, schema, request.where), schema)
    mark = Watermark(node.cursor, request.cursor)
    if scheme(node.url) == "sqlite":  # its values are compared as they are stored: an instant may be any text
        fresh = (mark.fresh(batch) for batch in batches)
        return Extraction.appending(conformed(fresh, schema, request.where), schema, mark.text)
    typed = conformed(batches, schema, request.where)
    return Extraction.appending((mark.fresh(batch) for batch in typed), schema, mark.text)


def _batches(request: Request) -> Iterator[pa.RecordBatch]:
    node: Database = request.node
    wanted = [*request.schema, *([node.cursor] if node.cursor else [])]
    rows = 0
    with reading(node, request.root, *_query(request, wanted)) as reader:
        require(wanted, reader.schema.names, request.where)
        for batch in reader:
            yield finite(batch, request.where)
            rows += batch.num_rows
            request.report(f"{rows:,} rows")


def _query(request: Request, wanted: Sequence[str]) -> tuple[str, tuple[Any, ...]]:
    node: Database = request.node
    last = last_of(request.cursor)
    if scheme(node.url) != "postgresql":
        return statement(node, last)
    found = _columns_of(node, request.root)
    require(wanted, [column.name for column in found], request.where)
    chosen = [column.sql for column in found if column.name in wanted]
    kind = next((column.kind for column in found if column.name == node.cursor), "text")
    return statement(node, last, chosen, kind)


def statement(
    node: Database, last: Any, columns: Sequence[str] = ("*",), kind: str = "text"
) -> tuple[str, tuple[Any, ...]]:
    """The SQL that reads what is new, and its parameters; `kind` is PostgreSQL's type of the cursor."""
    relation = f"({node.query})" if node.query else ".".join(map(quoted, str(node.table).split(".")))
    sql = f"SELECT {', '.join(columns)} FROM {relation} AS source"
    if node.cursor is None or last is None:
        return sql, ()
    newer = f"{sql} WHERE source.{quoted(node.cursor)} >="
    return (f"{newer} ?", (last,)) if scheme(node.url) == "sqlite" else (f"{newer} $1::text::{kind}", (str(last),))


@contextmanager
def reading(node: Database, root: Path, sql: str, parameters: tuple[Any, ...]) -> Iterator[pa.RecordBatchReader]:
    """The answer to a query, as batches. Raises `SourceUnreachable` and `SourceError`, without a password in either."""
    adbc = _adbc()
    try:
        connection = _connect(node, root)
    except adbc.Error as error:
        raise _shut_out(node, reason(error)) from error
    try:
        with closing(connection), closing(connection.cursor()) as cursor:
            if scheme(node.url) == "sqlite":
                cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(BATCH)})
            cursor.execute(sql, parameters or None)
            yield cursor.fetch_record_batch()
    except (adbc.Error, pa.ArrowException, OSError) as error:
        raise _refused(node, reason(error), sql) from error


def _shut_out(node: Database, said: str) -> SourceUnreachable:
    credentials = "password" in said or "authentication" in said
    return SourceUnreachable(
        "the database does not let us in" if credentials else "the database cannot be reached",
        where=redact(node.url),
        got=redact(said, node.url),
        expected="a connection",
        hint="are user and password right?" if credentials else "is it running, and the url right?",
    )


def _refused(node: Database, said: str, sql: str) -> SourceError:
    unknown = "no such table" in said or ("relation" in said and "does not exist" in said)
    hint = 'is the table\'s name right? table="SCHEMA.TABLE"' if unknown else "try it in the database's own client"
    return SourceError(
        "the database refused the query",
        where=redact(node.url),
        got=redact(said, node.url),
        expected=f"an answer to {sql}",
        hint=hint,
    )


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

            return postgresql.connect(address(expand(node.url)))
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


# ── introspection ─────────────────────────────────────────────────────────────────────────────────────


def columns(node: Database, root: Path) -> dict[str, dt.DataType]:
    """Columns and types. Raises `SourceError` for one of PostgreSQL's that could mean anything."""
    if scheme(node.url) == "postgresql":
        return types(_columns_of(node, root), node.schema or {})
    sql, _ = statement(node, None)
    with reading(node, root, f"{sql} LIMIT {SAMPLE}", ()) as reader:
        found = {f.name: dt.DataType.from_pyarrow(f.type) for f in reader.read_all().schema}
    declared = _declared(node, root) if node.table else {}  # which SQLite's driver does not tell
    return {name: declared.get(name, type) for name, type in found.items()}


def _columns_of(node: Database, root: Path) -> list[Column]:
    """PostgreSQL's columns, by a query over no rows."""
    with reading(node, root, f"{statement(node, None)[0]} LIMIT 0", ()) as reader:
        return described(reader.schema)


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
