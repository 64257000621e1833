"""SQLite: its rows as they are stored, and the meaning of declared column types.

Each value has a type of its own. A column of a batch gets the type that holds all its values exactly.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from mainstem.nodes.databases import Database
from mainstem.sources.databases.base import BATCH, Column, Dialect, Query, broken_off, refused
from mainstem.sources.databases.files import existing

if TYPE_CHECKING:
    import pyarrow as pa

SLACK = 1e-6
"""Days by which instants are read earlier or later: SQLite compares them as floats, and Arrow compares them again."""


class SQLite(Dialect):
    """A SQLite database file, which is opened for reading."""

    is_typed = False

    def columns(self, node: Database, root: Path) -> list[Column]:
        declared: dict[str, str] = {}
        with _reading(node, root, f"{self.everything(node)} LIMIT 0", ()) as cursor:
            names = [each[0] for each in cursor.description]
        if node.table:
            *schema, table = node.table.split(".")
            sql = f"SELECT name, type FROM pragma_table_info(?{', ?' if schema else ''})"
            with _reading(node, root, sql, (table, *schema)) as cursor:
                declared = {name: kind.upper() for name, kind in cursor.fetchall()}
        kinds = {name: declared.get(name, "") for name in names}
        return [Column(name, kind, _affinity(kind), f"source.{self.quoted(name)}") for name, kind in kinds.items()]

    def batches(
        self, node: Database, root: Path, query: Query, known: Mapping[str, str] | None = None
    ) -> Generator[pa.RecordBatch]:
        from mainstem.sources.databases.values import batch_of

        names, where = [column.name for column in query.columns], str(node.table or node.url)
        types = {column.name: str(column.type) for column in query.columns if column.type is not None}
        with _reading(node, root, query.sql, query.parameters) as cursor:
            while rows := cursor.fetchmany(BATCH):
                yield batch_of(names, rows, {**types, **(known or {})}, where, node.sets_aside)

    def test(self, value: Any, sign: str, number: int, column: Column) -> str:
        """Compare a cursor as what it means: instants in any form, and numbers that are stored as texts."""
        own, type = f"source.{self.quoted(column.name)}", column.type
        if isinstance(type, dt.Timestamp | dt.Date):
            slack = f"- {SLACK}" if sign == ">=" else f"+ {SLACK}"
            day = f"julianday({own})"
            return f"({day} {sign} julianday(?) {slack} OR ({day} IS NULL AND {own} IS NOT NULL))"
        if isinstance(type, dt.Numeric):
            is_number = any(word in column.kind for word in ("INT", "REAL", "FLOA", "DOUB", "DEC", "NUM"))
            return f"{own if is_number else f'CAST({own} AS NUMERIC)'} {sign} CAST(? AS NUMERIC)"
        return f"{own} {sign} ?"


@contextmanager
def _reading(node: Database, root: Path, sql: str, parameters: Sequence[Any]) -> Iterator[Any]:
    """Provide a cursor over the answer to a query. Raises `SourceUnreachable` and `SourceError`."""
    import sqlite3

    uri = f"{existing(node.url, root).absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            yield connection.execute(sql, tuple(parameters))
    except sqlite3.Error as error:
        said = str(error)
        is_busy = "locked" in said or "busy" in said
        raise (broken_off(node, said) if is_busy else refused(node, said, sql)) from error


def _affinity(declared: str) -> dt.DataType | None:
    """Return the meaning of a declared type in SQLite; None if it has none."""
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
