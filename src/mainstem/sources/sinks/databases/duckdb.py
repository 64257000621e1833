"""DuckDB as a target: a file below the project."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from mainstem.errors import SinkError
from mainstem.sources.databases.files import file_of
from mainstem.sources.secrets import redact
from mainstem.sources.sinks.databases.failures import refused
from mainstem.sources.sinks.databases.values import flat
from mainstem.sources.sinks.databases.writer import Writer

if TYPE_CHECKING:
    import pyarrow as pa


class DuckDB(Writer):
    """A DuckDB file. It is created if it does not exist."""

    own: ClassVar[Mapping[str, str]] = {
        "boolean": "BOOLEAN",
        "integer": "BIGINT",
        "floating": "DOUBLE",
        "decimal": "DECIMAL({p}, {s})",
        "timestamp": "TIMESTAMPTZ",
        "date": "DATE",
        "time": "TIME",
        "binary": "BLOB",
        "string": "VARCHAR",
    }
    takes: ClassVar[Mapping[str, str]] = {
        "boolean": "BOOLEAN",
        "integer": r"HUGEINT|BIGINT|INTEGER|SMALLINT|TINYINT",
        "floating": "DOUBLE",
        "decimal": r"DECIMAL\(\d+,(?P<scale>\d+)\)",
        "timestamp": "TIMESTAMP WITH TIME ZONE",
        "date": "DATE",
        "time": "TIME",
        "binary": "BLOB",
        "string": "VARCHAR|JSON|UUID|ENUM.*",
    }

    @contextmanager
    def connected(self) -> Iterator[Any]:
        import duckdb

        file = file_of(self.node.url, self.root)
        try:
            connection = duckdb.connect(file)
        except duckdb.Error as error:
            raise SinkError(
                "the database file cannot be opened",
                where=str(file),
                got=redact(str(error).split("\n")[0]),
                hint="close the program that uses it; create its directory",
            ).passing() from error
        try:
            with closing(connection):
                connection.begin()
                yield _Session(connection)
        except duckdb.Error as error:
            raise refused(self.node, redact(str(error).split("\n")[0])) from error

    def columns(self, cursor: Any, table: str) -> dict[str, str]:
        *schema, name = table.split(".")
        cursor.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? AND schema_name = ? "
            "AND database_name = current_database()",
            (name, schema[0] if schema else "main"),
        )
        return dict(cursor.fetchall())

    def stage(self, cursor: Any, table: str, types: Mapping[str, str], rows: pa.RecordBatchReader) -> int:
        columns = ", ".join(f"{self.quoted(name)} {type}" for name, type in types.items())
        cursor.execute(f"CREATE TEMPORARY TABLE {table} ({columns})")
        counted = 0
        for batch in rows:
            counted += batch.num_rows
            cursor.register("incoming", flat(batch))
            cursor.execute(f"INSERT INTO {table} SELECT * FROM incoming")
            cursor.unregister("incoming")
        return counted


class _Session:
    """A connection that begins another transaction after each commit, as those of other drivers do."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def cursor(self) -> Any:
        return self.connection

    def commit(self) -> None:
        self.connection.commit()
        self.connection.begin()
