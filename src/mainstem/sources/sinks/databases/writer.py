"""What the kinds of databases that are written to share: a connection, types, and the SQL of a merge."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mainstem.nodes.databases import Database

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt
    import pyarrow as pa

STAGED, GONE = "mainstem_rows", "mainstem_gone"
"""The temporary tables with the rows to merge, and with the keys of those to remove."""

MARKS = "mainstem_deliveries"
"""The table with the mark of each sink and target."""

FAMILIES = ("boolean", "integer", "floating", "decimal", "timestamp", "date", "time", "binary", "string")


def family(type: dt.DataType) -> str:
    """Return the family of an Ibis type. What no database has in common is text."""
    return next((each for each in FAMILIES if getattr(type, f"is_{each}")()), "string")


class Writer(ABC):
    """Writes to one kind of database. `own` are the types of new columns, `takes` the types, as patterns, of existing
    columns that hold every value of a family or refuse it."""

    own: ClassVar[Mapping[str, str]]
    takes: ClassVar[Mapping[str, str]]
    mark_type: ClassVar[str] = "varchar(255)"
    sign: ClassVar[str] = "?"
    """The sign of a parameter; `{n}` in it is its number."""

    def __init__(self, node: Database, root: Path) -> None:
        self.node, self.root = node, root

    @abstractmethod
    def connected(self) -> AbstractContextManager[Any]:
        """Provide a connection in a transaction, which is rolled back unless it was committed. Raises `SinkError`."""

    @abstractmethod
    def columns(self, cursor: Any, table: str) -> dict[str, str]:
        """Return the columns of a table with the database's types. Empty if there is no such table."""

    @abstractmethod
    def stage(self, cursor: Any, table: str, types: Mapping[str, str], rows: pa.RecordBatchReader) -> int:
        """Write rows to a new temporary table with columns of these types. Return how many there are."""

    @contextmanager
    def settling(self, cursor: Any) -> Iterator[None]:
        """Provide that no other session creates tables of sinks: the server may still execute what a killed process
        sent. Files that a process locks need nothing."""
        yield

    def signs(self, number: int) -> list[str]:
        """Return the signs of this many parameters."""
        return [self.sign.format(n=n + 1) for n in range(number)]

    def quoted(self, name: str) -> str:
        """Return a name as SQL."""
        return '"' + name.replace('"', '""') + '"'

    def relation(self, table: str) -> str:
        """Return a table, with its schema, as SQL."""
        return ".".join(self.quoted(part) for part in table.split("."))

    def type_of(self, type: dt.DataType, *, key: bool = False) -> str:
        """Return the type of a new column."""
        own = self.own[family(type)]
        return own.format(p=getattr(type, "precision", 0), s=getattr(type, "scale", 0))

    def holds(self, type: dt.DataType, theirs: str) -> bool:
        """Return whether an existing column holds every value of a type, or refuses it."""
        found = re.fullmatch(self.takes[family(type)], theirs, re.I)
        if found is None or not type.is_decimal():
            return found is not None
        scale = found.groupdict().get("scale")
        return scale is None or int(scale) >= (type.scale or 0)

    def value(self, name: str, theirs: str) -> str:
        """Return the SQL of a staged value for a column of the database's type."""
        return f"s.{self.quoted(name)}"

    # ── the statements of a merge ────────────────────────────────────────────────────────────────────

    def create(self, table: str, types: Mapping[str, str], key: Sequence[str]) -> str:
        """Return the statement that creates a table."""
        columns = [f"{self.quoted(name)} {type}{' NOT NULL' if name in key else ''}" for name, type in types.items()]
        names = ", ".join(self.quoted(name) for name in key)
        return f"CREATE TABLE IF NOT EXISTS {self.relation(table)} ({', '.join(columns)}, PRIMARY KEY ({names}))"

    def update(self, table: str, values: Mapping[str, str], key: Sequence[str]) -> str:
        """Return the statement that updates the rows whose key was staged."""
        changes = ", ".join(f"{self.quoted(name)} = {value}" for name, value in values.items() if name not in key)
        return f"UPDATE {self.relation(table)} AS t SET {changes} FROM {STAGED} AS s WHERE {self.same(values, key)}"

    def insert(self, table: str, values: Mapping[str, str], key: Sequence[str]) -> str:
        """Return the statement that adds the staged rows whose key is not there."""
        names, chosen = ", ".join(map(self.quoted, values)), ", ".join(values.values())
        there = f"SELECT 1 FROM {self.relation(table)} AS t WHERE {self.same(values, key)}"
        into = f"INSERT INTO {self.relation(table)} ({names})"
        return f"{into} SELECT {chosen} FROM {STAGED} AS s WHERE NOT EXISTS ({there})"

    def delete(self, table: str, values: Mapping[str, str], key: Sequence[str]) -> str:
        """Return the statement that removes the rows whose key is gone."""
        there = f"SELECT 1 FROM {GONE} AS s WHERE {self.same(values, key)}"
        return f"DELETE FROM {self.relation(table)} AS t WHERE EXISTS ({there})"

    def left(self, keys: str, values: Mapping[str, str], key: Sequence[str]) -> str:
        """Return the statement that adds to the keys that are gone those of the table `keys` that were not staged."""
        names, chosen = (", ".join(f"{of}{self.quoted(name)}" for name in key) for of in ("", "t."))
        staged = f"SELECT 1 FROM {STAGED} AS s WHERE {self.same(values, key)}"
        return (
            f"INSERT INTO {GONE} ({names}) SELECT {chosen} FROM {self.relation(keys)} AS t WHERE NOT EXISTS ({staged})"
        )

    def same(self, values: Mapping[str, str], key: Sequence[str]) -> str:
        """Return the condition that a row and a staged row have one key."""
        return " AND ".join(f"t.{self.quoted(name)} = {values[name]}" for name in key)
