"""SQLite as a target: a file below the project. Decimals, instants, dates and times are text."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from mainstem.errors import SinkError
from mainstem.sources.databases.files import file_of
from mainstem.sources.sinks.databases.failures import refused
from mainstem.sources.sinks.databases.values import rows_of
from mainstem.sources.sinks.databases.writer import Writer

if TYPE_CHECKING:
    import pyarrow as pa

PATIENCE = 30.0
"""Seconds to wait for another writer."""


class SQLite(Writer):
    """A SQLite file. It is created if it does not exist; its directory must exist."""

    own: ClassVar[Mapping[str, str]] = {
        "boolean": "BOOLEAN",
        "integer": "INTEGER",
        "floating": "REAL",
        "decimal": "TEXT",
        "timestamp": "TIMESTAMP",
        "date": "DATE",
        "time": "TIME",
        "binary": "BLOB",
        "string": "TEXT",
    }
    takes: ClassVar[Mapping[str, str]] = {
        "boolean": ".*",
        "integer": r"|.*INT.*|NUMERIC.*|DECIMAL.*|BLOB",
        "floating": r"|REAL|FLOAT|DOUBLE.*|BLOB",
        "decimal": r"|.*(CHAR|CLOB|TEXT).*|BLOB",
        "timestamp": r"|.*(CHAR|CLOB|TEXT|DATE|TIME).*|BLOB",
        "date": r"|.*(CHAR|CLOB|TEXT|DATE).*|BLOB",
        "time": r"|.*(CHAR|CLOB|TEXT|TIME).*|BLOB",
        "binary": r"|BLOB",
        "string": r"|.*(CHAR|CLOB|TEXT).*|BLOB",
    }

    @contextmanager
    def connected(self) -> Iterator[Any]:
        file = file_of(self.node.url, self.root)
        try:
            connection = sqlite3.connect(file, timeout=PATIENCE)
        except sqlite3.Error as error:
            raise SinkError(
                "the database file cannot be opened", where=str(file), got=str(error), hint="create its directory"
            ) from error
        try:
            with closing(connection):
                yield connection
        except sqlite3.Error as error:
            raise refused(self.node, str(error)).passing("locked" in str(error)) from error

    def columns(self, cursor: Any, table: str) -> dict[str, str]:
        *schema, name = table.split(".")
        prefix = f"{self.quoted(schema[0])}." if schema else ""
        cursor.execute(f"PRAGMA {prefix}table_info({self.quoted(name)})")
        return {row[1]: row[2] for row in cursor.fetchall()}

    def stage(self, cursor: Any, table: str, types: Mapping[str, str], rows: pa.RecordBatchReader) -> int:
        columns = ", ".join(f"{self.quoted(name)} {type}" for name, type in types.items())
        cursor.execute(f"CREATE TEMPORARY TABLE {table} ({columns})")
        signs, counted = ", ".join("?" * len(types)), 0
        for batch in rows:
            counted += batch.num_rows
            plain = (tuple(map(_plain, row)) for row in rows_of(batch))
            cursor.executemany(f"INSERT INTO {table} VALUES ({signs})", plain)
        return counted


def _plain(value: Any) -> Any:
    """Return a value as SQLite stores it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ")
    if isinstance(value, (date, time)):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
