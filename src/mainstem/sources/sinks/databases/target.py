"""A table of a database as a target: rows are staged, and merged by key in one transaction with the mark.

The keys of the rows that the sink has written are kept in a table beside it. So a row that is gone is removed also when
what the target has is not known, and a row of others never is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa

from mainstem.errors import SinkError
from mainstem.graph.fingerprint import digest
from mainstem.nodes.databases import Database
from mainstem.sources.secrets import redact
from mainstem.sources.sinks.databases.writer import GONE, MARKS, STAGED, Writer
from mainstem.sources.sinks.load import Load, Sent, other_key


class Mark(NamedTuple):
    """What the table of marks has of a sink and its target: the mark, and the key that the rows were merged by."""

    mark: str
    key: str


class DatabaseTarget:
    """A table that a sink, identified by `name`, writes to."""

    remembers: ClassVar[bool] = True
    keyed: ClassVar[bool] = True

    def __init__(self, node: Database, writer: Writer, name: str) -> None:
        self.node, self.writer, self.name = node, writer, name
        self.table = str(node.table)
        self.keys = f"mainstem_keys_{digest(name, self.table)}"

    def mark(self) -> str | None:
        """Return the mark; None if there is none, or if a table that belongs to it is not there."""
        with self.writer.connected() as connection:
            cursor = connection.cursor()
            if not all(self.writer.columns(cursor, each) for each in (MARKS, self.table, self.keys)):
                return None
            found = self._marked(cursor)
            return found.mark or None if found else None

    def place(self) -> str:
        """Return ""."""
        return ""

    def write(self, load: Load) -> Sent | None:
        """Merge the rows of a load by key."""
        writer, key = self.writer, load.key
        with writer.connected() as connection:
            cursor = connection.cursor()
            with writer.settling(cursor):
                self._settle(cursor, load)
                connection.commit()
            if self._locked(cursor) != load.has:
                return None
            theirs, types = writer.columns(cursor, self.table), self._types(load)
            values = {name: writer.value(name, theirs[name]) for name in load.schema}
            staged = {name: f"s.{writer.quoted(name)}" for name in key}
            rows = writer.stage(cursor, STAGED, types, load.rows())
            removed = self._gone(cursor, load, {name: types[name] for name in key}, staged)
            if removed:  # first: what is added may have a value that is unique, of a row that is gone
                cursor.execute(writer.delete(self.table, values, key))
                cursor.execute(writer.delete(self.keys, staged, key))
            if rows and values.keys() - set(key):
                cursor.execute(writer.update(self.table, values, key))
            if rows:
                cursor.execute(writer.insert(self.table, values, key))
                cursor.execute(writer.insert(self.keys, staged, key))
            self._set(cursor, "mark", load.mark)
            connection.commit()
        return Sent(rows, removed)

    def _gone(self, cursor: Any, load: Load, types: Mapping[str, str], staged: Mapping[str, str]) -> int:
        """Stage the keys of rows to remove. Return how many there are."""
        if not load.whole:
            return self.writer.stage(cursor, GONE, types, load.gone())
        import ibis

        empty: pa.Schema = ibis.schema({name: load.schema[name] for name in load.key}).to_pyarrow()
        self.writer.stage(cursor, GONE, types, pa.RecordBatchReader.from_batches(empty, []))
        cursor.execute(self.writer.left(self.keys, staged, load.key))
        cursor.execute(f"SELECT count(*) FROM {GONE}")
        return int(cursor.fetchone()[0])

    def _settle(self, cursor: Any, load: Load) -> None:
        """Create the tables that lack, and bring them to the columns of a load. A mark without its tables is void."""
        writer, key = self.writer, ", ".join(load.key)
        if not writer.columns(cursor, MARKS):
            names = dict.fromkeys(("sink", "target"), writer.mark_type)
            text = dict.fromkeys(("mark", "key_columns"), writer.own["string"])
            cursor.execute(writer.create(MARKS, names | text, list(names)))
        theirs, types = writer.columns(cursor, self.table), self._types(load)
        found = self._marked(cursor)
        self._refuse(load, theirs, found)
        if found is None:
            signs = ", ".join(writer.signs(4))
            cursor.execute(f"INSERT INTO {writer.relation(MARKS)} VALUES ({signs})", (self.name, self.table, "", key))
        if not theirs or not writer.columns(cursor, self.keys):
            # In this order: a database may commit after each statement that creates or drops a table.
            self._set(cursor, "mark", "")
            self._set(cursor, "key_columns", key)
            cursor.execute(f"DROP TABLE IF EXISTS {writer.relation(self.keys)}")
            cursor.execute(writer.create(self.table, types, load.key))
            cursor.execute(writer.create(self.keys, {name: types[name] for name in load.key}, load.key))
        for name in load.schema if theirs else ():
            if name not in theirs:
                sql = f"ALTER TABLE {writer.relation(self.table)} ADD COLUMN {writer.quoted(name)} {types[name]}"
                cursor.execute(sql)

    def _refuse(self, load: Load, theirs: Mapping[str, str], found: Mark | None) -> None:
        """Refuse another key than that of the rows that are there, and columns that do not hold the values."""
        import ibis

        where = f"{self.table} of {redact(self.node.url)}"
        if theirs and found and found.key != ", ".join(load.key):
            hint = "name another table=, or drop the table: the next run creates it with the new key"
            raise other_key(found.key, load.key, where, hint)
        for name, type in load.schema.items():
            if name in theirs and not self.writer.holds(ibis.dtype(type), theirs[name]):
                raise SinkError(
                    f"the column {name!r} of the target does not hold the values",
                    where=where,
                    got=theirs[name],
                    expected=f"{self._types(load)[name]}, for {type}",
                    hint="alter the column, cast it in the table that is delivered, or leave it out by columns=",
                )
        for name in load.key:
            if theirs and name not in theirs:
                raise SinkError(
                    f"the target has no key column {name!r}",
                    where=where,
                    got=", ".join(theirs),
                    expected=", ".join(load.key),
                )

    def _types(self, load: Load) -> dict[str, str]:
        import ibis

        return {n: self.writer.type_of(ibis.dtype(type), key=n in load.key) for n, type in load.schema.items()}

    def _marked(self, cursor: Any) -> Mark | None:
        first, second = self.writer.signs(2)
        sql = f"SELECT mark, key_columns FROM {self.writer.relation(MARKS)} WHERE sink = {first} AND target = {second}"
        cursor.execute(sql, (self.name, self.table))
        found = cursor.fetchone()
        return None if found is None else Mark(*(v.decode() if isinstance(v, bytes) else v for v in found))

    def _locked(self, cursor: Any) -> str | None:
        """Return the mark. No other session changes it, or has changed it and not ended, until the transaction ends."""
        first, second = self.writer.signs(2)
        where = f"WHERE sink = {first} AND target = {second}"
        cursor.execute(f"UPDATE {self.writer.relation(MARKS)} SET mark = mark {where}", (self.name, self.table))
        found = self._marked(cursor)
        return found.mark or None if found else None

    def _set(self, cursor: Any, column: str, value: str) -> None:
        first, second, third = self.writer.signs(3)
        where = f"WHERE sink = {second} AND target = {third}"
        sql = f"UPDATE {self.writer.relation(MARKS)} SET {column} = {first} {where}"
        cursor.execute(sql, (value, self.name, self.table))
