"""MySQL and MariaDB as targets. Instants are `datetime(6)` in UTC, because a `timestamp` ends in 2038."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from mainstem.masking import harmless
from mainstem.sources.databases.base import missing
from mainstem.sources.databases.mysql import said, settings
from mainstem.sources.sinks.databases.failures import away, refused
from mainstem.sources.sinks.databases.values import rows_of
from mainstem.sources.sinks.databases.writer import GONE, MARKS, STAGED, Writer

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt
    import pyarrow as pa

STRICT = "SET sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION'"
"""Refuse values that do not fit, instead of changing them."""

PATIENCE = 60
"""Seconds to wait for another session that creates tables of sinks."""

LOST = (2013, 2006, 0, 1053, 1927)


class MySQL(Writer):
    """MySQL and MariaDB."""

    own: ClassVar[Mapping[str, str]] = {
        "boolean": "boolean",
        "integer": "bigint",
        "floating": "double",
        "decimal": "decimal({p}, {s})",
        "timestamp": "datetime(6)",
        "date": "date",
        "time": "time(6)",
        "binary": "longblob",
        "string": "longtext",
    }
    takes: ClassVar[Mapping[str, str]] = {
        "boolean": r"tinyint.*",
        "integer": r"(big|small|medium|tiny)?int.*|decimal\(\d+,0\).*",
        "floating": "double",
        "decimal": r"decimal\(\d+,(?P<scale>\d+)\).*",
        "timestamp": r"(datetime|timestamp)\(6\)",
        "date": "date",
        "time": r"time\(6\)",
        "binary": r".*blob|varbinary.*",
        "string": r"varchar.*|.*text|json|uuid|enum.*",
    }
    mark_type: ClassVar[str] = "varchar(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    sign: ClassVar[str] = "%s"

    @contextmanager
    def connected(self) -> Iterator[Any]:
        try:
            import pymysql
        except ImportError as error:
            raise missing("mysql", "pymysql") from error
        try:
            connection: Any = pymysql.connect(**settings(self.node, self.root), autocommit=False)
        except (pymysql.Error, OSError, RuntimeError) as error:
            raise away(self.node, said(error)) from harmless(error)
        try:
            with closing(connection):
                with connection.cursor() as cursor:
                    cursor.execute(STRICT)
                    cursor.execute("SELECT VERSION()")
                    maria = b"MariaDB" in cursor.fetchone()[0]
                self._exact = "utf8mb4_nopad_bin" if maria else "utf8mb4_0900_bin"
                yield connection
        except (pymysql.Error, OSError) as error:
            lost = isinstance(error, OSError) or (bool(error.args) and error.args[0] in LOST)
            raise (away if lost else refused)(self.node, said(error)) from harmless(error)

    @contextmanager
    def settling(self, cursor: Any) -> Iterator[None]:
        cursor.execute("SELECT GET_LOCK(%s, %s)", (MARKS, PATIENCE))
        if cursor.fetchone()[0] not in (1, b"1"):
            raise away(self.node, f"another session has had the lock {MARKS} for {PATIENCE} seconds")
        yield
        cursor.execute("DO RELEASE_LOCK(%s)", (MARKS,))

    def quoted(self, name: str) -> str:
        return "`" + name.replace("`", "``") + "`"

    def type_of(self, type: dt.DataType, *, key: bool = False) -> str:
        own = super().type_of(type, key=key)
        if key and own == "longblob":
            return "varbinary(255)"
        if own != "longtext":
            return f"{own} NULL" if not key else own
        exact = f"CHARACTER SET utf8mb4 COLLATE {self._exact}"
        return f"varchar(255) {exact}" if key else f"longtext {exact} NULL"

    def columns(self, cursor: Any, table: str) -> dict[str, str]:
        *schema, name = table.split(".")
        place = "%s" if schema else "COALESCE(%s, DATABASE())"
        cursor.execute(
            f"SELECT column_name, column_type FROM information_schema.columns "
            f"WHERE table_schema = {place} AND table_name = %s ORDER BY ordinal_position",
            (schema[0] if schema else None, name),
        )
        return {column.decode(): type.decode() for column, type in cursor.fetchall()}

    def stage(self, cursor: Any, table: str, types: Mapping[str, str], rows: pa.RecordBatchReader) -> int:
        columns = ", ".join(f"{self.quoted(name)} {type}" for name, type in types.items())
        key = [name for name, type in types.items() if not type.endswith(" NULL")]
        names = ", ".join(map(self.quoted, key))
        cursor.execute(f"CREATE TEMPORARY TABLE {table} ({columns}, PRIMARY KEY ({names}))")
        signs, counted = ", ".join(["%s"] * len(types)), 0
        for batch in rows:
            counted += batch.num_rows
            cursor.executemany(f"INSERT INTO {table} VALUES ({signs})", list(rows_of(batch)))
        return counted

    def update(self, table: str, values: Mapping[str, str], key: Sequence[str]) -> str:
        changes = ", ".join(f"t.{self.quoted(name)} = {value}" for name, value in values.items() if name not in key)
        return f"UPDATE {self.relation(table)} AS t JOIN {STAGED} AS s ON {self.same(values, key)} SET {changes}"

    def delete(self, table: str, values: Mapping[str, str], key: Sequence[str]) -> str:
        return f"DELETE t FROM {self.relation(table)} AS t JOIN {GONE} AS s ON {self.same(values, key)}"
