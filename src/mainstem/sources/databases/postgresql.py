"""PostgreSQL: its types as Ibis types, and the SELECT that reads them through ADBC, as Arrow data.

The driver reports the types of a query without rows. The server casts types that Arrow lacks to text; arrays and rows
become JSON. Two types are ambiguous and refused at introspection: money, because its decimals depend on the server's
settings, and timestamp without time zone.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import ibis.expr.datatypes as dt
import pyarrow as pa
import pyarrow.compute as pc

from mainstem.errors import SourceError
from mainstem.masking import harmless
from mainstem.nodes.databases import Database
from mainstem.nodes.redaction import redacted
from mainstem.nodes.tls import Tls
from mainstem.sources.databases.base import (
    INSTANT,
    PATIENCE,
    PRECISEST,
    Column,
    Dialect,
    Query,
    Unclear,
    broken_off,
    missing,
    refused,
    shut_out,
)
from mainstem.sources.secrets import expand_url

SAME: Mapping[str, dt.DataType] = {
    "bool": dt.boolean,
    "int2": dt.int64,
    "int4": dt.int64,
    "int8": dt.int64,
    "float4": dt.float64,
    "float8": dt.float64,
    "text": dt.string,
    "varchar": dt.string,
    "name": dt.string,
    "timestamptz": INSTANT,
    "timestamp": INSTANT,
    "date": dt.date,
    "time": dt.time,
    "bytea": dt.binary,
}
"""The types that are selected without a cast."""

TEXTS = frozenset({"text", "varchar", "bpchar", "name"})
"""The types whose order depends on a collation."""

_UNCLEAR = {
    "timestamp": Unclear(
        "timestamp without time zone",
        "\"timestamp('UTC', 6)\"",
        "{0} AT TIME ZONE 'America/New_York' AS {0}",
    ),
    "money": Unclear(
        "money, whose decimals depend on the server's settings", '"decimal(18, 2)"', "{0}::numeric AS {0}"
    ),
}


LOST = (
    "server closed the connection",
    "terminating connection",
    "connection to server was lost",
    "no connection to the server",
    "could not receive data",
    "EOF detected",
    "the database system is",
    "Connection reset",
)
"""What errors say of a server that went away."""


class PostgreSQL(Dialect):
    """PostgreSQL, and what speaks its protocol."""

    def columns(self, node: Database, root: Path) -> list[Column]:
        with _reading(node, root, f"{self.everything(node)} LIMIT 0", ()) as reader:
            return [self._column(field) for field in reader.schema]

    def batches(
        self, node: Database, root: Path, query: Query, known: Mapping[str, str] | None = None
    ) -> Generator[pa.RecordBatch]:
        with _reading(node, root, query.sql, query.parameters) as reader:
            for batch in reader:
                yield finite(batch, redacted(node.url))

    def test(self, value: Any, sign: str, number: int, column: Column) -> str:
        own = f"source.{self.quoted(column.name)}"
        if column.kind in TEXTS:
            return f'{own} COLLATE "C" {sign} ${number}::text'
        return f"{own} {sign} ${number}::text::{column.kind}"

    def parameter(self, value: Any, column: Column) -> str:
        return str(value)

    def _column(self, field: pa.Field) -> Column:
        metadata = field.metadata or {}
        kind = metadata.get(b"POSTGRESQL:type", b"").decode()
        name, source = field.name, f"source.{self.quoted(field.name)}"
        cast, type = _selected(field, kind, metadata)
        sql = source if cast is None else f"{cast.format(source)} AS {self.quoted(name)}"
        return Column(name, kind, type, sql, _UNCLEAR.get(kind))


def _selected(field: pa.Field, kind: str, metadata: Mapping[bytes, bytes]) -> tuple[str | None, dt.DataType]:
    """Return the cast that selects a column, and its type."""
    if kind in SAME:
        return None, SAME[kind]
    if kind == "numeric":
        return "{}::text", _numeric(metadata)
    if kind == "oid":
        return "{}::bigint", dt.int64
    if kind == "money":
        return "{}::numeric::text", dt.Decimal(18, 2)
    return "to_json({})::text" if pa.types.is_nested(field.type) else "{}::text", dt.string


def _numeric(metadata: Mapping[bytes, bytes]) -> dt.DataType:
    """Return the type of a `numeric(12, 3)`: a decimal; float64 without bounds or with too many digits."""
    modifier = int(metadata.get(b"POSTGRESQL:typmod", b"-1")) - 4
    precision, scale = modifier >> 16, modifier & 0x7FF
    exact = modifier >= 0 and 0 < precision <= PRECISEST and scale <= precision
    return dt.Decimal(precision, scale) if exact else dt.float64


def finite(batch: pa.RecordBatch, where: str) -> pa.RecordBatch:
    """Return the batch. Raises `SourceError` for an instant or a date outside the calendar, such as `infinity`."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            _in_calendar(name, column, where)
    return batch


def _in_calendar(name: str, column: pa.Array, where: str) -> None:
    width = 86_400 * 1_000_000 if pa.types.is_timestamp(column.type) else 1
    days = pc.min_max(column.cast(pa.int64() if width > 1 else pa.int32())).as_py()
    if days["min"] is not None and not (_FIRST * width <= days["min"] and days["max"] < _LAST * width):
        raise SourceError(
            f"{name!r} has an instant outside the calendar, such as infinity",
            where=where,
            expected="an instant from year 1 to year 9999",
            hint=f"query=\"SELECT …, NULLIF({name}, 'infinity') AS {name} FROM …\"",
        )


_FIRST, _LAST = -719_162, 2_932_897
"""Days since 1970 of 0001-01-01 and of 10000-01-01."""


def address(url: str, tls: Tls | None = None, root: Path = Path()) -> str:
    """Return the URL for libpq, with a connection timeout unless it has one, and with TLS settings.

    Raises `SourceError` for a password that libpq would misread as another part of the URL, and show.
    """
    authority, _, path = url.split("://", 1)[1].partition("?")[0].partition("/")
    if authority.count("@") > 1 or ("@" in path and "@" not in authority):
        raise SourceError(
            "the password in the url is not percent-encoded",
            where=redacted(url),
            expected="%40 for @, %3A for : and %2F for /",
            hint="urllib.parse.quote(password, safe='')",
        )
    url = "postgresql" + url[url.index("://") :]
    more = {} if "connect_timeout=" in url else {"connect_timeout": str(PATIENCE)}
    if tls is not None:
        more |= _encrypted(tls, root)
    said = "&".join(f"{name}={quote(value, safe='')}" for name, value in more.items())
    return f"{url}{'&' if '?' in url else '?'}{said}" if said else url


def _encrypted(tls: Tls, root: Path) -> dict[str, str]:
    """Return TLS settings as parameters of libpq."""
    files = {"sslrootcert": tls.ca, "sslcert": tls.cert, "sslkey": tls.key}
    found = {name: str(root / path) for name, path in files.items() if path is not None}
    if tls.verify and tls.ca is None:
        found["sslrootcert"] = "system"
    return {"sslmode": "verify-full" if tls.verify else "require", **found}


def reason(error: Exception) -> str:
    """Return the first line of an error of the server or libpq, without the driver's prefix."""
    text = str(error)
    for preamble in ("FATAL:  ", "ERROR:  ", "Failed to connect: "):
        _, found, rest = text.partition(preamble)
        if found:
            return rest.split("\n")[0].strip()
    return text.split("\n")[0].strip()


# ── the connection ────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _reading(node: Database, root: Path, sql: str, parameters: tuple[str, ...]) -> Iterator[pa.RecordBatchReader]:
    """Provide the answer to a query as batches.

    Raises `SourceUnreachable` and `SourceError`, both without a password.
    """
    try:
        import adbc_driver_manager
        import adbc_driver_postgresql.dbapi as driver
    except ImportError as error:
        raise missing("database", "adbc-driver-postgresql") from error
    try:
        connection = driver.connect(address(expand_url(node.url), node.tls, root))
    except adbc_driver_manager.Error as error:
        raise shut_out(node, reason(error)) from harmless(error)
    try:
        with closing(connection), closing(connection.cursor()) as cursor:
            cursor.execute(sql, parameters or None)
            yield cursor.fetch_record_batch()
    except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
        said = reason(error)
        lost = any(word in said for word in LOST)
        raise (broken_off(node, said) if lost else refused(node, said, sql)) from harmless(error)
