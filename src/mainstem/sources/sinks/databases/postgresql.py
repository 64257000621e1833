"""PostgreSQL as a target: rows go to a temporary table through ADBC, as Arrow data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, ClassVar

import pyarrow as pa

from mainstem.masking import harmless
from mainstem.sources.databases.base import missing
from mainstem.sources.databases.postgresql import LOST, address, reason
from mainstem.sources.secrets import expand_url
from mainstem.sources.sinks.databases.failures import away, refused
from mainstem.sources.sinks.databases.values import flat, flat_schema
from mainstem.sources.sinks.databases.writer import MARKS, Writer

CAST = ("json", "jsonb", "uuid")
"""The types of columns that take a text by a cast."""


class PostgreSQL(Writer):
    """PostgreSQL, and what speaks its protocol."""

    own: ClassVar[Mapping[str, str]] = {
        "boolean": "boolean",
        "integer": "bigint",
        "floating": "double precision",
        "decimal": "numeric({p}, {s})",
        "timestamp": "timestamptz",
        "date": "date",
        "time": "time",
        "binary": "bytea",
        "string": "text",
    }
    takes: ClassVar[Mapping[str, str]] = {
        "boolean": "boolean",
        "integer": r"bigint|integer|smallint|numeric.*",
        "floating": "double precision",
        "decimal": r"numeric(\(\d+,(?P<scale>\d+)\))?",
        "timestamp": "timestamp with time zone",
        "date": "date",
        "time": "time without time zone",
        "binary": "bytea",
        "string": r"text|character varying.*|jsonb?|uuid",
    }
    sign: ClassVar[str] = "${n}"

    @contextmanager
    def connected(self) -> Iterator[Any]:
        try:
            import adbc_driver_manager
            import adbc_driver_postgresql.dbapi as driver
        except ImportError as error:
            raise missing("database", "adbc-driver-postgresql") from error
        try:
            connection = driver.connect(address(expand_url(self.node.url), self.node.tls, self.root))
        except adbc_driver_manager.Error as error:
            raise away(self.node, reason(error)) from harmless(error)
        try:
            with closing(connection):
                yield connection
        except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
            said = reason(error)
            lost = any(word in said for word in LOST)
            raise (away if lost else refused)(self.node, said) from harmless(error)

    @contextmanager
    def settling(self, cursor: Any) -> Iterator[None]:
        # It ends with the transaction. `IF NOT EXISTS` alone fails if two sessions create a table at once.
        cursor.execute(f"SELECT 1 FROM pg_advisory_xact_lock(hashtext('{MARKS}'))")
        cursor.fetchall()
        yield

    def columns(self, cursor: Any, table: str) -> dict[str, str]:
        cursor.execute(
            "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped",
            (self.relation(table),),
        )
        return dict(cursor.fetchall())

    def stage(self, cursor: Any, table: str, types: Mapping[str, str], rows: pa.RecordBatchReader) -> int:
        counted = 0

        def batches() -> Iterator[pa.RecordBatch]:
            nonlocal counted
            for batch in rows:
                counted += batch.num_rows
                yield flat(batch)

        columns = ", ".join(f"{self.quoted(name)} {type}" for name, type in types.items())
        cursor.execute(f"CREATE TEMPORARY TABLE {table} ({columns}) ON COMMIT DROP")
        reader = pa.RecordBatchReader.from_batches(flat_schema(rows.schema), batches())
        cursor.adbc_ingest(table, reader, mode="append", temporary=True)
        if counted:
            cursor.execute(f"ANALYZE {table}")  # else the join of a merge is planned for an empty table
        return counted

    def value(self, name: str, theirs: str) -> str:
        staged = super().value(name, theirs)
        return f"{staged}::{theirs}" if theirs in CAST else staged
