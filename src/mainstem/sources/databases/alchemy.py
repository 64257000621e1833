"""Any other database that SQLAlchemy has a dialect for: `mssql+pymssql://…`, `oracle+oracledb://…`.

The rows are Python values, which become Arrow columns in batches. The types of a table are those that the database
names; a column of a query gets the type that holds its values.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from mainstem.errors import SourceError
from mainstem.masking import harmless
from mainstem.nodes.databases import Database
from mainstem.sources.databases.base import (
    BATCH,
    INSTANT,
    PRECISEST,
    Column,
    Dialect,
    Query,
    Unclear,
    ambiguous,
    broken_off,
    refused,
    shut_out,
)
from mainstem.sources.secrets import expand_url, redact

if TYPE_CHECKING:
    import pyarrow as pa

_NAIVE = Unclear("an instant without time zone", "\"timestamp('UTC', 6)\"", "CAST({0} AS …) AS {0}")


class SQLAlchemy(Dialect):
    """A database that is read through SQLAlchemy."""

    is_typed = False

    def columns(self, node: Database, root: Path) -> list[Column]:
        import sqlalchemy as sa

        with _connected(node, "the columns") as connection:
            if node.table:
                *schema, table = node.table.split(".")
                found = sa.inspect(connection).get_columns(table, schema=".".join(schema) or None)
                return [self._column(node, each["name"], each["type"]) for each in found]
            sql = f"{self.everything(node)} WHERE 1 = 0"
            names = connection.execute(sa.text(sql)).keys()
            return [self._column(node, name, None) for name in names]

    def batches(
        self, node: Database, root: Path, query: Query, known: Mapping[str, str] | None = None
    ) -> Generator[pa.RecordBatch]:
        import sqlalchemy as sa

        from mainstem.sources.databases.values import batch_of

        names, where = [column.name for column in query.columns], str(node.table or redact(node.url))
        types = {column.name: str(column.type) for column in query.columns if column.type is not None}
        types |= known or {}
        given = {f"p{number}": value for number, value in enumerate(query.parameters, start=1)}
        natives = [sa.column(column.name, column.native) for column in query.columns]
        with _connected(node, query.sql) as connection:
            streamed = connection.execution_options(stream_results=True, max_row_buffer=BATCH)
            for rows in streamed.execute(sa.text(query.sql).columns(*natives), given).partitions(BATCH):
                batch = batch_of(names, rows, types, where, node.sets_aside)
                for field in batch.schema:
                    if field.name not in types and str(field.type).startswith("timestamp") and field.type.tz is None:
                        raise ambiguous(field.name, "a datetime without a time zone", _NAIVE)
                yield batch

    def relation(self, node: Database) -> str:
        if node.query:
            return super().relation(node).replace(":", "\\:")
        return ".".join(self._quoted(node, part) for part in str(node.table).split("."))

    def everything(self, node: Database, what: str = "*") -> str:
        return f"SELECT {what} FROM {self.relation(node)} source"  # Oracle has no AS here

    def test(self, value: Any, sign: str, number: int, column: Column) -> str:
        return f"{column.sql} {sign} :p{number}"

    def parameter(self, value: Any, column: Column) -> Any:
        type = column.type
        if isinstance(type, dt.Timestamp):
            moment = datetime.fromisoformat(value)
            return moment if type.timezone and "zone" in column.kind.lower() else moment.replace(tzinfo=None)
        if isinstance(type, dt.Date):
            return date.fromisoformat(value)
        return Decimal(value) if isinstance(type, dt.Decimal) else value

    def no_cursor(self, node: Database) -> str:
        return f"source.{self._quoted(node, str(node.cursor))} IS NULL"

    def _quoted(self, node: Database, name: str) -> str:
        preparer = _url(node).get_dialect()().identifier_preparer
        return str(preparer.quote(name)).replace(":", "\\:")

    def _column(self, node: Database, name: str, type: Any) -> Column:
        found = None if type is None else _type(type)
        kind = "" if type is None else f"{type!r}"
        naive = isinstance(found, dt.Timestamp) and not getattr(type, "timezone", False)
        return Column(name, kind, found, f"source.{self._quoted(node, name)}", _NAIVE if naive else None, type)


def _type(type: Any) -> dt.DataType | None:
    """Return the Ibis type of a type that the database names; None if its values tell it."""
    import sqlalchemy.types as sql

    if isinstance(type, sql.Numeric) and not isinstance(type, sql.Float):
        precision, scale = type.precision, type.scale or 0
        return dt.Decimal(precision, scale) if precision and precision <= PRECISEST else None
    known: tuple[tuple[Any, dt.DataType], ...] = (
        (sql.Boolean, dt.boolean),
        (sql.Integer, dt.int64),
        (sql.Float, dt.float64),
        (sql.DateTime, INSTANT),
        (sql.Date, dt.date),
        (sql.Time, dt.time),
        (sql.LargeBinary, dt.binary),
        (sql.String, dt.string),
        (sql.Uuid, dt.string),
        (sql.JSON, dt.string),
    )
    return next((found for kind, found in known if isinstance(type, kind)), None)


def _url(node: Database) -> Any:
    """Return the URL. Raises `SourceError` for a kind of database that is not installed."""
    import sqlalchemy as sa

    try:
        url = sa.make_url(expand_url(node.url))
        url.get_dialect()
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError) as error:
        kind = node.url.partition(":")[0]
        raise SourceError(
            f"unsupported kind of database {kind!r}",
            where=redact(node.url),
            expected="sqlite, postgresql, mysql, duckdb, or one that SQLAlchemy has a dialect for",
            hint="install the dialect's package",
        ) from harmless(error)
    return url


@contextmanager
def _connected(node: Database, sql: str) -> Iterator[Any]:
    """Provide a connection. Raises `SourceUnreachable` and `SourceError`, both without a password."""
    import sqlalchemy as sa

    if node.tls:
        raise SourceError(
            "tls= does not apply to this kind of database",
            where=redact(node.url),
            got=node.url.partition(":")[0],
            expected="postgresql or mysql",
            hint="the driver's parameters in the url",
        )
    try:
        engine = sa.create_engine(_url(node), poolclass=sa.pool.NullPool)
        connection = engine.connect()
    except ImportError as error:
        raise SourceError(
            "the driver of the database is not installed", where=redact(node.url), got=str(error)
        ) from error
    except sa.exc.SQLAlchemyError as error:
        raise shut_out(node, _said(error)) from harmless(error)
    try:
        with connection:
            yield connection
    except sa.exc.NoSuchTableError as error:
        raise refused(node, f"no such table: {error}", sql) from harmless(error)
    except sa.exc.SQLAlchemyError as error:
        lost = isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated
        raise (broken_off(node, _said(error)) if lost else refused(node, _said(error), sql)) from harmless(error)
    finally:
        engine.dispose()


def _said(error: Any) -> str:
    """Return the first line of the driver's own error."""
    return str(getattr(error, "orig", None) or error).split("\n")[0]
