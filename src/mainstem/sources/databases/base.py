"""What the kinds of databases share: columns, the part of the rows that is read, and the SELECT that reads it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import ibis.expr.datatypes as dt

from mainstem.errors import MainstemError, MissingExtra, SourceError, SourceUnreachable
from mainstem.nodes.databases import Database
from mainstem.sources.secrets import redact

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 65_536
"""Rows per batch."""
PATIENCE = 10
"""Seconds until a connection must be open."""
PRECISEST = 38
"""The maximum number of digits of a decimal."""

INSTANT = dt.Timestamp(timezone="UTC", scale=6)


class Unclear(NamedTuple):
    """Why a type is ambiguous: what it is, the Ibis type to declare, and the SQL that says what a column `{0}`
    means."""

    what: str
    declare: str
    sql: str


@dataclass(frozen=True)
class Column:
    """A column of a table or a query: the database's name of its type, its Ibis type, and the SQL that selects it.

    `type` is None where each value has a type of its own. `native` is the type as the driver's library knows it.
    """

    name: str
    kind: str
    type: dt.DataType | None
    sql: str
    unclear: Unclear | None = None
    native: Any = None


class Window(NamedTuple):
    """The rows to read, by the cursor: from `since` on and before `until`; with `nulls` also rows without one.

    Values are as in the JSON of a cursor.
    """

    since: Any = None
    until: Any = None
    nulls: bool = False


ALL = Window()


class Dialect(ABC):
    """A kind of database. If it `is_typed`, all values of a column have the type that the database names."""

    is_typed: ClassVar[bool] = True

    @abstractmethod
    def columns(self, node: Database, root: Path) -> list[Column]:
        """Return the columns that a source has now. Raises `SourceUnreachable` and `SourceError`."""

    @abstractmethod
    def batches(
        self, node: Database, root: Path, query: Query, known: Mapping[str, str] | None = None
    ) -> Generator[pa.RecordBatch]:
        """Yield the rows of a query, in batches. `known` are the Ibis types of columns so far.

        Raises `SourceUnreachable` and `SourceError`, without passwords.
        """

    @abstractmethod
    def test(self, value: Any, sign: str, number: int, column: Column) -> str:
        """Return the SQL that compares the cursor with a value, as Arrow compares them; the value is the parameter
        `number`, or a literal. It may hold for more rows."""

    def parameter(self, value: Any, column: Column) -> Any:
        """Return a value of the cursor as a parameter of the driver."""
        return value

    def found(self, batch: pa.RecordBatch, types: Mapping[str, str] | None) -> Mapping[str, str] | None:
        """Return the stored types of a batch, given those that the database names; None if its values tell them."""
        return types

    def quoted(self, name: str) -> str:
        """Return a name as SQL."""
        return '"' + name.replace('"', '""') + '"'

    def relation(self, node: Database) -> str:
        """Return the table or the query of a source, as SQL."""
        if node.query:
            return f"({node.query.rstrip().rstrip(';')}\n)"
        return ".".join(self.quoted(part) for part in str(node.table).split("."))

    def everything(self, node: Database, what: str = "*") -> str:
        """Return the SQL that reads all rows."""
        return f"SELECT {what} FROM {self.relation(node)} AS source"

    def query(self, node: Database, columns: Sequence[Column], window: Window = ALL) -> Query:
        """Return the query that reads the rows of a window."""
        sql = self.everything(node, ", ".join(column.sql for column in columns))
        cursor = next((column for column in columns if column.name == node.cursor), None)
        given = [(sign, value) for sign, value in ((">=", window.since), ("<", window.until)) if value is not None]
        if cursor is None or not given:
            return Query(sql, (), tuple(columns))
        tests = [self.test(value, sign, number, cursor) for number, (sign, value) in enumerate(given, start=1)]
        test = " AND ".join(tests)
        if window.nulls:
            test = f"({test}) OR {self.no_cursor(node)}"
        values = tuple(self.parameter(value, cursor) for _, value in given)
        return Query(f"{sql} WHERE {test}", values, tuple(columns))

    def nulls(self, node: Database) -> Query:
        """Return the query that counts the rows without a cursor."""
        sql = f"{self.everything(node, 'count(*)')} WHERE {self.no_cursor(node)}"
        return Query(sql, (), (Column("n", "bigint", dt.int64, ""),))

    def no_cursor(self, node: Database) -> str:
        """Return the SQL that tests whether a row has no cursor."""
        return f"source.{self.quoted(str(node.cursor))} IS NULL"


@dataclass(frozen=True)
class Query:
    """SQL, its parameters, and the columns of its answer."""

    sql: str
    parameters: tuple[Any, ...]
    columns: tuple[Column, ...]


def types(columns: Sequence[Column], declared: Mapping[str, str]) -> dict[str, dt.DataType]:
    """Return the types of columns that have one. Raises `SourceError` for an ambiguous type that is not declared."""
    for column in columns:
        if column.unclear and column.name not in declared:
            raise ambiguous(column.name, column.kind, column.unclear)
    return {column.name: column.type for column in columns if column.type is not None}


def ambiguous(name: str, kind: str, unclear: Unclear) -> SourceError:
    """Return the error for a column of an ambiguous type that is not declared."""
    what, says, cast = unclear
    return SourceError(
        f"{name!r} has an ambiguous type: {what}",
        got=kind,
        expected="an unambiguous type",
        hint=f'schema={{{name!r}: {says}}}, or query="SELECT …, {cast.format(name)} FROM …"',
    )


def plain(value: Any) -> str:
    """Return a cursor's value as SQL writes instants: `2026-01-31 10:00:00.000001`, in UTC."""
    return str(value).removesuffix("Z").replace("T", " ")


def refused(node: Database, said: str, sql: str) -> SourceError:
    """Return the error for a query that a database refused with a text."""
    words = ("no such table", "does not exist", "doesn't exist")
    unknown = any(word in said for word in words) and "column" not in said.lower()
    hint = 'check the table\'s name: table="SCHEMA.TABLE"' if unknown else "try it in the database's own client"
    return SourceError(
        "the database refused the query",
        where=redact(node.url),
        got=redact(said, node.url),
        expected=f"an answer to {sql}",
        hint=hint,
    )


E = TypeVar("E", bound=MainstemError)


def shut_out(node: Database, said: str) -> SourceUnreachable:
    """Return the error for a source that cannot be reached, or refuses the login."""
    return no_entry(SourceUnreachable, node, said)


def no_entry(kind: type[E], node: Database, said: str) -> E:
    """Return an error of this kind for a database that cannot be reached, or refuses the login."""
    credentials = any(word in said.lower() for word in ("password", "authentication", "access denied"))
    return kind(
        "the database refuses the login" if credentials else "the database cannot be reached",
        where=redact(node.url),
        got=redact(said, node.url),
        expected="a connection",
        hint="check the user and the password" if credentials else "check the server and the url",
    ).passing(not credentials)


def broken_off(node: Database, said: str) -> SourceUnreachable:
    """Return the error for a connection that was lost while rows were read. It may pass."""
    return SourceUnreachable(
        "the connection to the database was lost",
        where=redact(node.url),
        got=redact(said, node.url),
        expected="all rows of the query",
        hint="run again; retries= does it by itself",
    ).passing()


def missing(extra: str, module: str) -> MissingExtra:
    """Return the error for a driver that is not installed."""
    return MissingExtra.named(extra, module)
