"""PostgreSQL: what its types become, and which SELECT gives them.

Its driver tells the types of a query over no rows. What Arrow has no type for is cast to text by the server, as
PostgreSQL writes it; arrays and rows to JSON. Two types could mean anything and are refused where a source's schema is
looked up: money, whose decimals depend on the server's settings, and a timestamp without time zone.
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
"""Seconds that a server may take to let us in."""

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
"""The types that are selected as they are."""
PRECISEST = 38
"""Digits of a decimal."""


@dataclass(frozen=True)
class Column:
    """A column of a table or query: PostgreSQL's name for its type, what it becomes, and how it is selected."""

    name: str
    kind: str
    type: dt.DataType
    sql: str


def described(schema: pa.Schema) -> list[Column]:
    """The columns of an answer, by its schema."""
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
    """`numeric(12, 3)` is a decimal; without bounds, or with more digits than a decimal has, it is a float64."""
    modifier = int(metadata.get(b"POSTGRESQL:typmod", b"-1")) - 4
    precision, scale = modifier >> 16, modifier & 0x7FF
    exact = modifier >= 0 and 0 < precision <= PRECISEST and scale <= precision
    return dt.Decimal(precision, scale) if exact else dt.float64


def types(columns: Sequence[Column], declared: Mapping[str, str]) -> dict[str, dt.DataType]:
    """What columns become. Raises `SourceError` for one that could mean anything, unless its type is declared."""
    for column in columns:
        if column.kind in _AMBIGUOUS and column.name not in declared:
            what, says, cast = _AMBIGUOUS[column.kind]
            raise SourceError(
                f"{column.name!r} is a {what}",
                got=column.kind,
                expected="a type that means one thing",
                hint=f'schema={{{column.name!r}: {says}}}, or query="SELECT …, {cast.format(column.name)} FROM …"',
            )
    return {column.name: column.type for column in columns}


_AMBIGUOUS = {
    "timestamp": (
        "timestamp without time zone, which could mean any",
        "\"timestamp('UTC', 6)\"",
        "{0} AT TIME ZONE 'America/New_York' AS {0}",
    ),
    "money": ("money, whose decimals depend on the server's settings", '"decimal(18, 2)"', "{0}::numeric AS {0}"),
}


def finite(batch: pa.RecordBatch, where: str) -> pa.RecordBatch:
    """The batch. Raises `SourceError` for an instant or date that has no place in a calendar, such as `infinity`."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            _in_calendar(name, column, where)
    return batch


def _in_calendar(name: str, column: pa.Array, where: str) -> None:
    width = 86_400 * 1_000_000 if pa.types.is_timestamp(column.type) else 1
    days = pc.min_max(column.cast(pa.int64() if width > 1 else pa.int32())).as_py()
    if days["min"] is not None and not (_FIRST * width <= days["min"] and days["max"] < _LAST * width):
        raise SourceError(
            f"{name!r} has an instant outside of the calendar, such as infinity",
            where=where,
            expected="one from the year 1 to the year 9999",
            hint=f"query=\"SELECT …, NULLIF({name}, 'infinity') AS {name} FROM …\"",
        )


_FIRST, _LAST = -719_162, 2_932_897
"""Days since 1970 of 0001-01-01 and of 10000-01-01."""


def address(url: str) -> str:
    """The URL as libpq takes it, with a bound on how long connecting may take unless it has one.

    Raises `SourceError` for a password that libpq would take for a part of something else, and show.
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
    """What the server or libpq said first, without the driver's preamble."""
    text = str(error)
    for preamble in ("FATAL:  ", "ERROR:  ", "Failed to connect: "):
        _, found, rest = text.partition(preamble)
        if found:
            return rest.split("\n")[0].strip()
    return text.split("\n")[0].strip()


def quoted(name: Any) -> str:
    return '"' + str(name).replace('"', '""') + '"'
