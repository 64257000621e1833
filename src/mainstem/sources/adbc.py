"""Queries to databases. PostgreSQL answers through ADBC: Arrow data from the driver to the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pyarrow as pa

from mainstem.errors import MissingExtra, SourceError, SourceUnreachable
from mainstem.masking import harmless
from mainstem.nodes.sources import Database
from mainstem.sources.postgresql import address, quoted, reason
from mainstem.sources.secrets import expand_url, redact


def scheme(url: str) -> str:
    """Return `sqlite` or `postgresql`. Another scheme is returned unchanged."""
    name = url.partition(":")[0].partition("+")[0]
    return "postgresql" if name == "postgres" else name


def statement(
    node: Database, last: Any, columns: Sequence[str] = ("*",), kind: str = "text"
) -> tuple[str, tuple[Any, ...]]:
    """Return the SQL that reads new rows, and its parameters. `kind` is PostgreSQL's type of the cursor."""
    relation = f"({node.query})" if node.query else ".".join(map(quoted, str(node.table).split(".")))
    sql = f"SELECT {', '.join(columns)} FROM {relation} AS source"
    if node.cursor is None or last is None:
        return sql, ()
    newer = f"{sql} WHERE source.{quoted(node.cursor)} >="
    return (f"{newer} ?", (last,)) if scheme(node.url) == "sqlite" else (f"{newer} $1::text::{kind}", (str(last),))


@contextmanager
def reading(node: Database, sql: str, parameters: tuple[Any, ...]) -> Iterator[pa.RecordBatchReader]:
    """Provide the answer to a query as batches.

    Raises `SourceUnreachable` and `SourceError`, both without a password.
    """
    adbc = _adbc()
    try:
        connection = _connect(node)
    except adbc.Error as error:
        raise _shut_out(node, reason(error)) from harmless(error)
    try:
        with closing(connection), closing(connection.cursor()) as cursor:
            cursor.execute(sql, parameters or None)
            yield cursor.fetch_record_batch()
    except (adbc.Error, pa.ArrowException, OSError) as error:
        raise refused(node, reason(error), sql) from harmless(error)


def _shut_out(node: Database, said: str) -> SourceUnreachable:
    credentials = "password" in said or "authentication" in said
    return SourceUnreachable(
        "the database refuses the login" if credentials else "the database cannot be reached",
        where=redact(node.url),
        got=redact(said, node.url),
        expected="a connection",
        hint="check the user and the password" if credentials else "check the server and the url",
    ).passing(not credentials)


def refused(node: Database, said: str, sql: str) -> SourceError:
    """Return the error for a query that a database refused with a text."""
    unknown = "no such table" in said or ("relation" in said and "does not exist" in said)
    hint = 'check the table\'s name: table="SCHEMA.TABLE"' if unknown else "try it in the database's own client"
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


def _connect(node: Database) -> Any:
    kind = scheme(node.url)
    if kind != "postgresql":
        said = f"unsupported kind of database {kind!r}"
        raise SourceError(said, where=redact(node.url), expected="sqlite or postgresql")
    try:
        import adbc_driver_postgresql.dbapi as postgresql
    except ImportError as error:
        raise MissingExtra.named("database", f"adbc-driver-{kind}") from error
    return postgresql.connect(address(expand_url(node.url)))
