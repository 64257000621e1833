"""Databases as sources: a table or a query, read as a whole, by a cursor, or merged by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mainstem.nodes.base import names, refused
from mainstem.nodes.checks import Check
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import a, column, expression, optional, positive_duration, text, word
from mainstem.nodes.sources import COLLECTED, TIME, KnownSpec, Source
from mainstem.nodes.tls import Tls

Lag = str | int
"""How far before the last value of a cursor rows may still come: a duration, or a number for a cursor of numbers."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Database(Source):
    """A table of a database, or a query. With a `cursor` column, only rows beyond its last value are read, and with
    `lag` again those shortly before it. With `write="merge"` rows replace those of the same key; `deleted` marks rows
    that remove one."""

    url: str
    table: str | None = None
    query: str | None = None
    write: Literal["merge"] | None = None
    lag: Lag | None = None
    deleted: Any = None
    tls: Tls | None = None

    @property
    def merges(self) -> bool:
        """Whether rows replace those of the same key."""
        return self.write == "merge" or self.lag is not None

    @property
    def repeats(self) -> bool:
        return self.cursor is not None and not self.merges

    @property
    def intervals(self) -> str | None:
        """The column by whose spans the rows can be read again."""
        return self.cursor if self.key else None


def _lag(name: str, value: Any) -> None:
    """Require a duration, or a whole number above zero."""
    if isinstance(value, bool) or not isinstance(value, str | int) or (isinstance(value, int) and value <= 0):
        raise refused(f"`{name}` has an invalid value", value, 'a duration, lag="1h", or of numbers lag=1000')
    if isinstance(value, str):
        positive_duration(name, value)


@declared(
    url=text,
    table=optional(text),
    query=optional(text),
    time=TIME,
    cursor=optional(column),
    write=optional(word("merge")),
    lag=optional(_lag),
    deleted=optional(expression()),
    tls=optional(a(Tls, 'TLS settings, as in tls=ms.tls(ca="ca.pem")')),
    **COLLECTED,
)
def database(
    url: str,
    *,
    table: str | None = None,
    query: str | None = None,
    key: str | Sequence[str] | None = None,
    time: str | None = None,
    known: KnownSpec = None,
    schema: Mapping[str, str] | None = None,
    cursor: str | None = None,
    lag: Lag | None = None,
    write: Literal["merge"] | None = None,
    deleted: Any = None,
    tls: Tls | None = None,
    checks: Sequence[Check] = (),
    **meta: Any,
) -> Database:
    """Declare a `table` or a `query` of the database at `url` (`postgresql://…`, `mysql://…`, `sqlite:///…`,
    `duckdb:///…`, or another that SQLAlchemy reads).

    With a `cursor` column only rows at or beyond its last value are read. `lag` is for rows that are committed late: a
    duration such as "1h", or a number for a cursor of numbers. The rows within it are read again and replaced by key.

    With `write="merge"` rows replace those of the same `key`, and only the changed part is written. `deleted` is a
    condition, such as `_.deleted_at.notnull()`, or a boolean column: a row for which it holds removes that of its key.
    Without a cursor, rows that the database no longer has are removed too.

    `tls` encrypts the connection. Raises `DefinitionError` unless a table or a query is given, for a lag without a
    cursor, and for a merge without a key.
    """
    keys = names(key)
    if (table is None) == (query is None):
        raise refused("a database requires a table or a query", [table, query], 'table="…" or query="…", one of them')
    if lag is not None and cursor is None:
        raise refused("`lag` requires `cursor`", lag, 'cursor="updated_at", lag="1h"')
    if (lag is not None or write is not None) and not keys:
        what, hint = ("`lag`", f"lag={lag!r}") if write is None else ('`write="merge"`', 'write="merge"')
        raise refused(f"{what} requires `key`", None, f'key="order_id", {hint}')
    if deleted is not None and lag is None and write is None:
        raise refused("`deleted` requires a merge", deleted, 'write="merge", deleted="is_deleted"')
    return Database(
        url=url,
        table=table,
        query=query,
        key=keys,
        time=time,
        known=known,
        schema=schema,
        cursor=cursor,
        lag=lag,
        write=write,
        deleted=deleted,
        tls=tls,
        checks=tuple(checks),
        **meta,
    )
