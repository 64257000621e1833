"""A table of a database as a target: rows are staged, and merged by key in one transaction with the mark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mainstem.errors import SinkError
from mainstem.nodes.databases import Database
from mainstem.sources.secrets import redact
from mainstem.sources.sinks.databases.writer import GONE, STAGED, Writer
from mainstem.sources.sinks.load import Load, Sent

MARKS = "mainstem_deliveries"
"""The table with the mark of each sink, and whether the sink created its table."""


class DatabaseTarget:
    """A table that a sink, identified by `name`, writes to."""

    remembers: ClassVar[bool] = True
    keyed: ClassVar[bool] = True

    def __init__(self, node: Database, writer: Writer, name: str) -> None:
        self.node, self.writer, self.name = node, writer, name
        self.table = str(node.table)

    def mark(self) -> str | None:
        """Return the mark; None if the table or the mark is not there."""
        with self.writer.connected() as connection:
            cursor = connection.cursor()
            if not self.writer.columns(cursor, MARKS) or not self.writer.columns(cursor, self.table):
                return None
            found = self._marked(cursor)
            return found[0] or None if found else None

    def write(self, load: Load) -> Sent:
        """Merge the rows of a load by key."""
        with self.writer.connected() as connection:
            cursor = connection.cursor()
            own = self._settled(cursor, load)
            connection.commit()
            theirs = self.writer.columns(cursor, self.table)
            types = self._types(load)
            values = {name: self.writer.value(name, theirs[name]) for name in load.schema}
            rows = self.writer.stage(cursor, STAGED, types, load.rows())
            keys = {name: types[name] for name in load.key}
            removed = 0 if load.whole else self.writer.stage(cursor, GONE, keys, load.gone())
            if rows and values.keys() - set(load.key):
                cursor.execute(self.writer.update(self.table, values, load.key))
            if rows:
                cursor.execute(self.writer.insert(self.table, values, load.key))
            if removed or (load.whole and own):
                cursor.execute(self.writer.delete(self.table, values, load.key, whole=load.whole))
            self._set(cursor, load.mark)
            connection.commit()
        return Sent(rows, removed)

    def _settled(self, cursor: Any, load: Load) -> bool:
        """Bring the tables to the columns of a load. Return whether the table belongs to the sink."""
        writer = self.writer
        if not writer.columns(cursor, MARKS):
            types = {"sink": writer.mark_type, "mark": writer.mark_type, "created": "integer"}
            cursor.execute(writer.create(MARKS, types, ["sink"]))
        theirs, types = writer.columns(cursor, self.table), self._types(load)
        found = self._marked(cursor)
        if found is None:  # before the table is created: a database may commit after each such statement
            found = ("", 0 if theirs else 1)
            sql = f"INSERT INTO {writer.relation(MARKS)} VALUES ({writer.parameters[0]}, '', {found[1]})"
            cursor.execute(sql, (self.name,))
        if not theirs:
            cursor.execute(writer.create(self.table, types, load.key))
        self._refuse(load, theirs)
        for name in load.schema if theirs else ():
            if name not in theirs:
                sql = f"ALTER TABLE {writer.relation(self.table)} ADD COLUMN {writer.quoted(name)} {types[name]}"
                cursor.execute(sql)
        return bool(int(found[1]))

    def _refuse(self, load: Load, theirs: Mapping[str, str]) -> None:
        """Refuse existing columns that do not hold the values of a load."""
        import ibis

        for name, type in load.schema.items():
            if name in theirs and not self.writer.holds(ibis.dtype(type), theirs[name]):
                raise SinkError(
                    f"the column {name!r} of the target does not hold the values",
                    where=f"{self.table} of {redact(self.node.url)}",
                    got=theirs[name],
                    expected=f"{self._types(load)[name]}, for {type}",
                    hint="alter the column, cast it in the table that is delivered, or leave it out by columns=",
                )
        for name in load.key:
            if theirs and name not in theirs:
                raise SinkError(
                    f"the target has no key column {name!r}",
                    where=f"{self.table} of {redact(self.node.url)}",
                    got=", ".join(theirs),
                    expected=", ".join(load.key),
                )

    def _types(self, load: Load) -> dict[str, str]:
        import ibis

        return {n: self.writer.type_of(ibis.dtype(type), key=n in load.key) for n, type in load.schema.items()}

    def _marked(self, cursor: Any) -> tuple[str, int] | None:
        sql = f"SELECT mark, created FROM {self.writer.relation(MARKS)} WHERE sink = {self.writer.parameters[0]}"
        cursor.execute(sql, (self.name,))
        found = cursor.fetchone()
        if found is None:
            return None
        mark = found[0].decode() if isinstance(found[0], bytes) else found[0]
        return mark, int(found[1])

    def _set(self, cursor: Any, mark: str) -> None:
        first, second = self.writer.parameters
        sql = f"UPDATE {self.writer.relation(MARKS)} SET mark = {first} WHERE sink = {second}"
        cursor.execute(sql, (mark, self.name))
