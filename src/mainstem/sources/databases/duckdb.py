"""DuckDB: tables and queries of a database file, which is opened for reading, as Arrow data."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from mainstem.errors import SourceUnreachable
from mainstem.nodes.databases import Database
from mainstem.sources.databases.base import BATCH, INSTANT, Column, Dialect, Query, Unclear, refused
from mainstem.sources.databases.files import existing
from mainstem.sources.secrets import redact

if TYPE_CHECKING:
    import pyarrow as pa

SAME = {
    "BOOLEAN": dt.boolean,
    "TINYINT": dt.int64,
    "SMALLINT": dt.int64,
    "INTEGER": dt.int64,
    "BIGINT": dt.int64,
    "UTINYINT": dt.int64,
    "USMALLINT": dt.int64,
    "UINTEGER": dt.int64,
    "FLOAT": dt.float64,
    "DOUBLE": dt.float64,
    "VARCHAR": dt.string,
    "BLOB": dt.binary,
    "DATE": dt.date,
    "TIME": dt.time,
}
"""The types that are selected without a cast."""

CAST = {
    "UBIGINT": (dt.Decimal(20, 0), "{}::DECIMAL(20, 0)"),
    "HUGEINT": (dt.string, "{}::VARCHAR"),
    "UHUGEINT": (dt.string, "{}::VARCHAR"),
    "TIMESTAMP WITH TIME ZONE": (INSTANT, "{}"),
}
NAIVE = ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS")

_NAIVE = Unclear("timestamp without time zone", "\"timestamp('UTC', 6)\"", "{0} AT TIME ZONE 'America/New_York' AS {0}")


class DuckDB(Dialect):
    """A DuckDB database file."""

    def columns(self, node: Database, root: Path) -> list[Column]:
        sql = f"DESCRIBE {self.everything(node)}"
        with _reading(node, root, sql, ()) as answer:
            return [self._column(name, kind) for name, kind, *_ in answer.fetchall()]

    def batches(
        self, node: Database, root: Path, query: Query, known: Mapping[str, str] | None = None
    ) -> Generator[pa.RecordBatch]:
        with _reading(node, root, query.sql, query.parameters) as answer:
            yield from answer.to_arrow_reader(BATCH)

    def test(self, value: Any, sign: str, number: int, column: Column) -> str:
        return f"source.{self.quoted(column.name)} {sign} ${number}::VARCHAR::{column.kind}"

    def parameter(self, value: Any, column: Column) -> str:
        return str(value)

    def _column(self, name: str, kind: str) -> Column:
        source = f"source.{self.quoted(name)}"
        type, cast = _selected(kind)
        sql = source if cast == "{}" else f"{cast.format(source)} AS {self.quoted(name)}"
        return Column(name, kind, type, sql, _NAIVE if kind in NAIVE else None)


def _selected(kind: str) -> tuple[dt.DataType, str]:
    """Return the Ibis type of a column, and the SQL that casts it. Nested values become JSON, others texts."""
    if kind in SAME:
        return SAME[kind], "{}"
    if kind in CAST:
        return CAST[kind]
    if kind in NAIVE:
        return INSTANT, "{}::TIMESTAMP"
    if kind.startswith("DECIMAL("):
        precision, scale = kind.removeprefix("DECIMAL(").removesuffix(")").split(",")
        return dt.Decimal(int(precision), int(scale)), "{}"
    nested = kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION"))
    return dt.string, "to_json({})::VARCHAR" if nested else "{}::VARCHAR"


@contextmanager
def _reading(node: Database, root: Path, sql: str, parameters: tuple[str, ...]) -> Iterator[Any]:
    """Provide the answer to a query, whose SQL sees this database and no other file.

    Raises `SourceUnreachable` and `SourceError`.
    """
    import duckdb

    file = existing(node.url, root)
    try:
        connection = duckdb.connect(file, read_only=True, config={"enable_external_access": "false"})
    except duckdb.IOException as error:  # such as another process that writes
        said = str(error).split("\n")[0]
        where, hint = str(file), "close the program that writes to it, and run again"
        raise SourceUnreachable("the database file cannot be opened", where=where, got=said, hint=hint) from error
    try:
        with closing(connection):
            connection.execute("SET TimeZone = 'UTC'")
            yield connection.sql(sql, params=parameters or None)
    except duckdb.Error as error:
        raise refused(node, redact(str(error).split("\n")[0]), sql) from error
