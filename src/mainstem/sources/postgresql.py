"""PostgreSQL: its types as Ibis types, and the SELECT that reads them.

The driver reports the types of a query without rows. The server casts types that Arrow lacks to text; arrays and rows
become JSON. Two types are ambiguous and refused at introspection: money, because its decimals depend on the server's
settings, and timestamp without time zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis.expr.datatypes as dt
import pyarrow as pa
import pyarrow.compute as pc

from mainstem.errors import SourceError
from mainstem.nodes.redaction import redacted

PATIENCE = 10
"""Seconds until a connection must be open."""

INSTANT = dt.Timestamp(timezone="UTC", scale=6)
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
PRECISEST = 38
"""The maximum number of digits of a decimal."""


@dataclass(frozen=True)
class Column:
    """A column of a table or a query: PostgreSQL's name of its type, its Ibis type, and the SQL that selects it."""

    name: str
    kind: str
    type: dt.DataType
    sql: str


def described(schema: pa.Schema) -> list[Column]:
    """Return the columns of an answer from its schema."""
    return [_column(field) for field in schema]


def _column(field: pa.Field) -> Column:
    metadata = field.metadata or {}
    kind = metadata.get(b"POSTGRESQL:type", b"").decode()
    source = f"source.{quoted(field.name)}"
    if kind in SAME:
        return Column(field.name, kind, SAME[kind], source)
    if kind == "numeric":
        return Column(field.name, kind, _numeric(metadata), f"{source}::text AS {quoted(field.name)}")
    if kind == "oid":
        return Column(field.name, kind, dt.int64, f"{source}::bigint AS {quoted(field.name)}")
    if kind == "money":
        return Column(field.name, kind, dt.Decimal(18, 2), f"{source}::numeric::text AS {quoted(field.name)}")
    nested = pa.types.is_nested(field.type)
    text = f"to_json({source})::text" if nested else f"{source}::text"
    return Column(field.name, kind, dt.string, f"{text} AS {quoted(field.name)}")


def _numeric(metadata: Mapping[bytes, bytes]) -> dt.DataType:
    """Return the type of a `numeric(12, 3)`: a decimal; float64 without bounds or with too many digits."""
    modifier = int(metadata.get(b"POSTGRESQL:typmod", b"-1")) - 4
    precision, scale = modifier >> 16, modifier & 0x7FF
    exact = modifier >= 0 and 0 < precision <= PRECISEST and scale <= precision
    return dt.Decimal(precision, scale) if exact else dt.float64


def types(columns: Sequence[Column], declared: Mapping[str, str]) -> dict[str, dt.DataType]:
    """Return the types of columns. Raises `SourceError` for an ambiguous type that is not declared."""
    for column in columns:
        if column.kind in _AMBIGUOUS and column.name not in declared:
            what, says, cast = _AMBIGUOUS[column.kind]
            raise SourceError(
                f"{column.name!r} has an ambiguous type: {what}",
                got=column.kind,
                expected="an unambiguous type",
                hint=f'schema={{{column.name!r}: {says}}}, or query="SELECT …, {cast.format(column.name)} FROM …"',
            )
    return {column.name: column.type for column in columns}


_AMBIGUOUS = {
    "timestamp": (
        "timestamp without time zone",
        "\"timestamp('UTC', 6)\"",
        "{0} AT TIME ZONE 'America/New_York' AS {0}",
    ),
    "money": ("money, whose decimals depend on the server's settings", '"decimal(18, 2)"', "{0}::numeric AS {0}"),
}


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


def address(url: str) -> str:
    """Return the URL for libpq, with a connection timeout unless it has one.

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
    if "connect_timeout=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}connect_timeout={PATIENCE}"


def reason(error: Exception) -> str:
    """Return the first line of an error of the server or libpq, without the driver's prefix."""
    text = str(error)
    for preamble in ("FATAL:  ", "ERROR:  ", "Failed to connect: "):
        _, found, rest = text.partition(preamble)
        if found:
            return rest.split("\n")[0].strip()
    return text.split("\n")[0].strip()


def quoted(name: Any) -> str:
    return '"' + str(name).replace('"', '""') + '"'
