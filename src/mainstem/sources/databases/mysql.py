"""MySQL and MariaDB: their types as Ibis types, and the SELECT that reads them.

No driver in the package registries answers with Arrow data exactly: ConnectorX fails on zero dates and rounds long
decimals, and ADBC's driver is not among them. So PyMySQL reads the texts that the server sends, without converting
them, and Arrow casts each column of a batch at once. Rows are streamed.
"""

from __future__ import annotations

import ssl
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import ibis.expr.datatypes as dt
import pyarrow as pa
import pyarrow.compute as pc

from mainstem.errors import SourceError
from mainstem.masking import harmless
from mainstem.nodes.databases import Database
from mainstem.nodes.tls import Tls
from mainstem.sources.databases.base import (
    ALL,
    BATCH,
    INSTANT,
    PATIENCE,
    PRECISEST,
    Column,
    Dialect,
    Query,
    Unclear,
    Window,
    broken_off,
    missing,
    plain,
    refused,
    shut_out,
)
from mainstem.sources.secrets import expand_url, redact

if TYPE_CHECKING:
    from pymysql.protocol import FieldDescriptorPacket

INTEGERS = {1: "tinyint", 2: "smallint", 3: "int", 8: "bigint", 9: "mediumint", 13: "year"}
TEXTS = {15: "varchar", 247: "enum", 248: "set", 249: "text", 250: "text", 251: "text", 252: "text", 253: "varchar"}
TEXTS |= {254: "char", 245: "json"}
BINARY = 63
"""The number of the character set of bytes."""
UNSIGNED = 32
"""The flag of an unsigned column."""

_NAIVE = Unclear(
    "datetime without time zone",
    "\"timestamp('UTC', 6)\"",
    "CONVERT_TZ({0}, 'America/New_York', 'UTC') AS {0}",
)


class MySQL(Dialect):
    """MySQL and MariaDB. The session's time zone is UTC, so a `timestamp` is an instant."""

    def columns(self, node: Database, root: Path) -> list[Column]:
        with _reading(node, root, f"{self.everything(node)} LIMIT 0") as cursor:
            return [self._column(field) for field in cursor._result.fields]

    def batches(
        self, node: Database, root: Path, query: Query, known: Mapping[str, str] | None = None
    ) -> Generator[pa.RecordBatch]:
        with _reading(node, root, query.sql) as cursor:
            fields = pa.schema([(column.name, _arrow(column)) for column in query.columns])
            while rows := cursor.fetchmany(BATCH):
                texts = zip(*rows, strict=True)
                columns = [_array(list(some), each, node) for some, each in zip(texts, query.columns, strict=True)]
                yield pa.RecordBatch.from_arrays(columns, names=fields.names)

    def quoted(self, name: str) -> str:
        return "`" + name.replace("`", "``") + "`"

    def test(self, value: Any, sign: str, number: int, column: Column) -> str:
        own = f"source.{self.quoted(column.name)}"
        is_text = isinstance(column.type, dt.String)
        return f"{f'BINARY {own}' if is_text else own} {sign} {_literal(value, column.type)}"

    def query(self, node: Database, columns: Sequence[Column], window: Window = ALL) -> Query:
        return replace(super().query(node, columns, window), parameters=())

    def found(self, batch: pa.RecordBatch, types: Mapping[str, str] | None) -> Mapping[str, str] | None:
        texts = {field.name for field in batch.schema if pa.types.is_string(field.type)}
        return {name: "string" if name in texts else type for name, type in (types or {}).items()}

    def _column(self, field: FieldDescriptorPacket) -> Column:
        kind, type, cast = _selected(field)
        name = field.name if isinstance(field.name, str) else field.name.decode()
        source = f"source.{self.quoted(name)}"
        sql = source if cast is None else f"{cast.format(source)} AS {self.quoted(name)}"
        return Column(name, kind, type, sql, _NAIVE if kind == "datetime" else None)


def _literal(value: Any, type: dt.DataType | None) -> str:
    """Return a value as a literal that no text can leave: its bytes in hexadecimal."""
    text = f"CONVERT(X'{plain(value).encode().hex()}' USING utf8mb4)"
    if isinstance(type, dt.Integer | dt.Decimal):
        return f"CAST({text} AS DECIMAL(65, {getattr(type, 'scale', 0) or 0}))"
    if isinstance(type, dt.Floating):
        return f"({text} + 0E0)"
    if isinstance(type, dt.Timestamp):
        return f"CAST({text} AS DATETIME(6))"
    return f"CAST({text} AS DATE)" if isinstance(type, dt.Date) else f"BINARY {text}"


def _selected(field: FieldDescriptorPacket) -> tuple[str, dt.DataType, str | None]:
    """Return the name of a column's type, its Ibis type, and the SQL that casts it."""
    code, signed = field.type_code, not field.flags & UNSIGNED
    if code in INTEGERS:
        name = INTEGERS[code] + ("" if signed or code == 13 else " unsigned")
        return name, dt.int64 if signed or code != 8 else dt.Decimal(20, 0), None
    if code in (0, 246):
        digits = field.length - (1 if field.scale else 0) - (1 if signed else 0)
        exact = 0 < digits <= PRECISEST
        return f"decimal({digits}, {field.scale})", dt.Decimal(digits, field.scale) if exact else dt.string, None
    if code in (4, 5):  # the server rounds the text of a float to six digits, and not that of a double
        return "float" if code == 4 else "double", dt.float64, "({} + 0E0)" if code == 4 else None
    if code == 16:
        bits = field.length
        type = dt.boolean if bits == 1 else dt.int64 if bits < 64 else dt.Decimal(20, 0)
        return f"bit({bits})", type, "({} + 0)"
    if code in (7, 12, 10, 14):
        type = dt.date if code in (10, 14) else INSTANT
        return {7: "timestamp", 12: "datetime"}.get(code, "date"), type, None
    if code == 255:
        return "geometry", dt.string, "ST_AsText({})"
    if code in TEXTS:
        is_bytes = field.charsetnr == BINARY and code != 245
        return TEXTS[code], dt.binary if is_bytes else dt.string, None
    return {11: "time", 6: "null"}.get(code, f"type {code}"), dt.string, None


# ── texts to columns ──────────────────────────────────────────────────────────────────────────────────


def _arrow(column: Column) -> pa.DataType:
    assert column.type is not None
    return column.type.to_pyarrow()


def _array(texts: Sequence[bytes | None], column: Column, node: Database) -> pa.Array:
    """Return the texts of a column as its type; as texts if one does not fit, so that the contract decides."""
    held, type = pa.array(texts, pa.binary()), _arrow(column)
    if pa.types.is_binary(type):
        return held
    try:
        text = held.cast(pa.string())
    except pa.ArrowInvalid as error:
        raise SourceError(
            f"{column.name!r} has a text that is not UTF-8",
            where=redact(node.url),
            got=str(error),
            hint=f'schema={{{column.name!r}: "binary"}}, or query="SELECT …, HEX({column.name}) …"',
        ) from None
    if pa.types.is_boolean(type):
        return pc.equal(text, "1")
    if pa.types.is_temporal(type):
        return _moments(text, type, column, node)
    return text.cast(type)


def _moments(text: pa.Array, type: pa.DataType, column: Column, node: Database) -> pa.Array:
    """Return dates or instants. A zero date such as `2026-00-00` is none: it is refused, or left to a quarantine."""
    zero = pc.fill_null(pc.match_substring_regex(text, r"^0000|-00"), False)
    if not pc.any(zero).as_py():
        is_instant = pa.types.is_timestamp(type)
        return pc.assume_timezone(text.cast(pa.timestamp("us")), "UTC") if is_instant else text.cast(type)
    if node.sets_aside(column.name):
        return text
    raise SourceError(
        f"{column.name!r} has a zero date",
        where=redact(node.url),
        got=pc.filter(text, zero)[0].as_py(),
        expected="a date of the calendar",
        hint=f'query="SELECT …, NULLIF({column.name}, 0) AS {column.name} FROM …" reads it as null, '
        'and contract="quarantine" sets the row aside',
    )


# ── the connection ────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _reading(node: Database, root: Path, sql: str) -> Iterator[Any]:
    """Provide a cursor over the answer to a query.

    Raises `SourceUnreachable` and `SourceError`, both without a password.
    """
    try:
        import pymysql
        from pymysql.cursors import SSCursor
    except ImportError as error:
        raise missing("mysql", "pymysql") from error
    try:
        connection: Any = pymysql.connect(**settings(node, root), cursorclass=SSCursor)
    except (pymysql.Error, OSError, RuntimeError) as error:
        raise shut_out(node, said(error)) from harmless(error)
    cursor = connection.cursor()
    try:
        cursor.execute(sql)
        yield cursor
    except (pymysql.Error, OSError) as error:
        lost = isinstance(error, OSError) or error.args[:1] in ((2013,), (2006,), (0,), (1053,), (1927,))
        raise broken_off(node, said(error)) if lost else refused(node, said(error), sql) from harmless(error)
    finally:
        if cursor._result is not None:  # else it reads the rest of the rows before it is closed
            cursor._result.unbuffered_active = False
        cursor.connection = None
        connection.close()


def settings(node: Database, root: Path) -> dict[str, Any]:
    """Return the settings of a connection. Raises `SourceError` for a URL that is not as expected."""
    from pymysql.converters import encoders

    url = urlsplit(expand_url(node.url))
    if "@" in (url.netloc.rpartition("@")[0]):
        raise SourceError(
            "the password in the url is not percent-encoded",
            where=redact(node.url),
            expected="%40 for @, %3A for : and %2F for /",
            hint="urllib.parse.quote(password, safe='')",
        )
    if url.query:
        raise SourceError(
            "the url has an unknown parameter",
            where=redact(node.url),
            got=url.query.partition("=")[0],
            expected="mysql://user:password@host:port/database",
            hint="tls=ms.tls(…) encrypts the connection",
        )
    given = {"user": url.username, "password": url.password, "database": url.path.lstrip("/")}
    return {
        **{name: unquote(value) for name, value in given.items() if value},
        "host": url.hostname or "127.0.0.1",
        "port": url.port or 3306,
        "charset": "utf8mb4",
        "use_unicode": False,
        "conv": encoders,  # and no decoders: texts stay texts
        "connect_timeout": PATIENCE,
        "init_command": "SET time_zone = '+00:00', net_write_timeout = 3600",
        **({"ssl": _context(node.tls, root)} if node.tls else {}),
    }


def _context(tls: Tls, root: Path) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(root / tls.ca) if tls.ca else None)
    if not tls.verify:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    if tls.cert:
        made.load_cert_chain(root / tls.cert, root / tls.key if tls.key else None)
    return made


def said(error: Exception) -> str:
    """Return the text of an error without its number."""
    return str(error.args[1] if len(error.args) > 1 else error).split("\n")[0]
