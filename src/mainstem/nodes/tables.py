"""Tables: named relations, written as functions from Ibis tables to an Ibis table, or as SQL."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mainstem.graph.units import SECOND
from mainstem.nodes.base import Node, NodeRef, Origin, names, reasons, refused
from mainstem.nodes.checks import Check, Unique
from mainstem.nodes.declared import META, declared
from mainstem.nodes.durations import microseconds
from mainstem.nodes.kinds import (
    anything,
    boolean,
    column,
    column_type,
    columns,
    duration,
    integer,
    mapping,
    node,
    optional,
    positive_duration,
    values_of,
    word,
)
from mainstem.nodes.partitions import partitions
from mainstem.nodes.verbs import Verb
from mainstem.ports import Partition

VALID_FROM, VALID_TO = "valid_from", "valid_to"
"""The columns of a history: from when a version holds, and until when. The current version has no end."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Table(Node):
    """A named relation. Its function stays callable. Each parameter names another node, unless `inputs`
    maps it to one."""

    function: Callable[..., Any] | None = None
    sql: str | None = None
    key: tuple[str, ...] = ()
    time: str | None = None
    clean: tuple[Verb, ...] = ()
    checks: tuple[Check, ...] = ()
    inputs: Mapping[str, NodeRef] = field(default_factory=dict)
    assume_known: Mapping[str, str] = field(default_factory=dict)
    using: str | None = None
    schema: Mapping[str, str] | None = None
    sort: tuple[str, ...] = ()
    partition: tuple[Partition, ...] = ()
    retries: int | None = None
    incremental: str | None = None
    interval: str = "1d"
    lookback: str | None = None
    write: str | None = None
    versions: bool = False

    @property
    def version_key(self) -> tuple[str, ...]:
        """The key of one current version, where `key` is that of one version of the history."""
        return tuple(column for column in self.key if column != VALID_FROM)

    @property
    def row_time(self) -> str | None:
        """The column of the event time in the rows before they are versions."""
        return None if self.versions and self.time == VALID_FROM else self.time

    @property
    def intervals(self) -> str | None:
        """The column by whose intervals the table is built."""
        return None if self.write else self.incremental

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.function is None:
            raise TypeError(f"table {self.name!r} is SQL and cannot be called")
        return self.function(*args, **kwargs)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The function's parameter names, in order. Empty for SQL."""
        return tuple(inspect.signature(self.function).parameters) if self.function else ()


@declared(
    function=anything,
    key=columns(),
    time=optional(column),
    clean=values_of(Verb, expected='ms.clean.trim("carrier")'),
    checks=values_of(Check, expected='ms.not_null("origin")'),
    inputs=optional(mapping(node)),
    assume_known=anything,
    using=optional(word("arrow", "polars", "pandas")),
    schema=optional(mapping(column_type, at_least=1)),
    sort=columns(),
    partition=columns(),
    retries=optional(integer(0)),
    incremental=optional(column),
    interval=optional(positive_duration),
    lookback=optional(duration),
    write=optional(word("merge")),
    versions=boolean,
    **META,
)
def table(
    function: Callable[..., Any] | None = None,
    *,
    key: str | Sequence[str] | None = None,
    time: str | None = None,
    clean: Sequence[Verb] = (),
    checks: Sequence[Check] = (),
    inputs: Mapping[str, NodeRef] | None = None,
    assume_known: Mapping[str, str] | None = None,
    using: Literal["arrow", "polars", "pandas"] | None = None,
    schema: Mapping[str, str] | None = None,
    sort: str | Sequence[str] | None = None,
    partition: str | Sequence[str] | None = None,
    retries: int | None = None,
    incremental: str | None = None,
    interval: str | None = None,
    lookback: str | None = None,
    write: Literal["merge"] | None = None,
    versions: bool = False,
    name: str | None = None,
    owner: str | None = None,
    description: str | None = None,
) -> Any:
    """Declare the decorated function as a table, with or without arguments: `@ms.table` or `@ms.table(key=…)`.

    The function takes Ibis tables and returns one. The verbs of `clean` are then applied in order. `time` names the
    column of the event time. `assume_known` maps a column to a reason: the column may then be used although its
    availability is unknown. `sort` names the columns by which rows are written, so that a query for a few of their
    values reads a small part. `partition` names columns, or units of instants such as `"month(sold_at)"`: each of their
    values has files of its own. `retries` is how often a run builds it again after an error that may pass, as a lock
    may. Raises `DefinitionError` for a function that does not take tables.

    With `using` the function takes and returns Polars or pandas frames, or Arrow batches, which are streamed. It is
    then called when the table is built, and `schema` declares the columns of its result with their Ibis types.

    `incremental` names a column of dates or instants. The table is then built by intervals of it, each `interval` long
    ("1d" if not given): a run builds those that changed, and those that begin within `lookback` before the newest one.

    With `write="merge"` a run replaces the rows whose `key` comes again and keeps all others. With `incremental` the
    row with the latest value of that column stays, in whatever order rows come.

    With `versions=True` the table has the history of its rows by `key`: each version of a row with `valid_from` and
    `valid_to`. `time` is then `valid_from` unless it names another column.
    """

    assumed = reasons(assume_known)
    _check_intervals(incremental, interval, lookback)
    _check_sort(sort, write is None and incremental is not None)
    _check_write(write, names(key), interval or lookback, () if incremental else checks)
    parted = partitions(partition, sort or incremental or write or versions)
    keys, moment = _versioned(versions, names(key), time, incremental or write)
    if (using is None) != (schema is None):
        raise refused("`using` and `schema` belong together", using or schema, 'using="polars", schema={"id": "int64"}')

    def declare(body: Callable[..., Any]) -> Table:
        if not inspect.isfunction(body):
            raise refused("a table requires a function", body, "@ms.table above `def legs(flights): …`")
        return Table(
            name=name or body.__name__,
            function=body,
            description=description or inspect.getdoc(body),
            owner=owner,
            key=keys,
            time=moment,
            clean=tuple(clean),
            checks=tuple(checks),
            inputs=dict(inputs or {}),
            assume_known=assumed,
            using=using,
            schema=None if schema is None else dict(schema),
            sort=names(sort),
            partition=parted,
            retries=retries,
            incremental=incremental,
            interval=interval or "1d",
            lookback=lookback,
            write=write,
            versions=versions,
            origin=_origin(body),
        )

    return declare if function is None else declare(function)


def sql(
    name: str,
    text: str,
    *,
    origin: Origin,
    key: str | Sequence[str] | None = None,
    time: str | None = None,
    clean: Sequence[Verb] = (),
    checks: Sequence[Check] = (),
    sort: str | Sequence[str] | None = None,
    partition: str | Sequence[str] | None = None,
    incremental: str | None = None,
    interval: str | None = None,
    lookback: str | None = None,
    write: Literal["merge"] | None = None,
    versions: bool = False,
    **meta: Any,
) -> Table:
    """Declare a table written in SQL (DuckDB's dialect). Its inputs are the tables of the FROM clauses."""
    _check_intervals(incremental, interval, lookback, str(origin))
    _check_sort(sort, write is None and incremental is not None, str(origin))
    _check_write(write, names(key), interval or lookback, () if incremental else checks, str(origin))
    keys, moment = _versioned(versions, names(key), time, incremental or write, str(origin))
    rows = {
        "key": keys,
        "time": moment,
        "versions": versions,
        "clean": tuple(clean),
        "checks": tuple(checks),
        "sort": names(sort),
        "partition": partitions(partition, sort or incremental or write or versions, str(origin)),
    }
    rows |= {"incremental": incremental, "interval": interval or "1d", "lookback": lookback, "write": write}
    return Table(name=name, sql=text, origin=origin, **{**meta, **rows})


def _check_intervals(
    incremental: str | None, interval: str | None, lookback: str | None, where: str | None = None
) -> None:
    """Refuse lengths without a column, and those that are not whole seconds. Raises `DefinitionError`."""
    for name, length in (("interval", interval), ("lookback", lookback)):
        if length is None:
            continue
        problem = None
        if incremental is None:
            problem = refused(f"`{name}` requires `incremental`", length, f'incremental="sold_at", {name}="{length}"')
        elif microseconds(length, where) % SECOND or (name == "interval" and not microseconds(length, where)):
            problem = refused(f"`{name}` must be whole seconds", length, f'{name}="1d"')
        if problem is not None:
            problem.where = where or problem.where
            raise problem


def _check_sort(sort: str | Sequence[str] | None, by_intervals: bool, where: str | None = None) -> None:
    """Refuse an order beside that of intervals. Raises `DefinitionError`."""
    if sort and by_intervals:
        problem = refused("the rows of intervals have an order", sort, "`incremental` without `sort`")
        problem.where = where or problem.where
        raise problem


def _check_write(
    write: str | None, key: Sequence[str], length: str | None, checks: Sequence[Check], where: str | None = None
) -> None:
    """Refuse a merge without a key, one by intervals, and one that sets aside repeated keys in no order. Raises
    `DefinitionError`."""
    if write is None:
        return
    problem = None
    if write != "merge":
        problem = refused("`write` has an invalid value", write, '"merge"')
    elif not key:
        problem = refused('`write="merge"` requires `key`', write, 'key="order_id", write="merge"')
    elif length is not None:
        problem = refused("a merge has no intervals", length, '`write="merge"` without `interval` and `lookback`')
    elif any(isinstance(c, Unique) and c.severity == "quarantine" and {*c.columns} <= {*key} for c in checks):
        problem = refused(
            "a merge without `incremental` does not know which row of a repeated key to set aside",
            'ms.unique(…, severity="quarantine")',
            'incremental="updated_at", whose latest value decides',
        )
    if problem is not None:
        problem.where = where or problem.where
        raise problem


def _versioned(
    versions: bool, key: tuple[str, ...], time: str | None, other: str | None, where: str | None = None
) -> tuple[tuple[str, ...], str | None]:
    """Return the key and the time of a table: those of the versions, if it keeps them. Raises `DefinitionError`."""
    if not versions:
        return key, time
    problem = None
    if not key:
        problem = refused("`versions` requires `key`", None, 'key="customer_id", versions=True')
    elif other is not None:
        problem = refused("a history has neither `incremental` nor `write`", other, "`versions=True` without them")
    elif {VALID_FROM, VALID_TO} & set(key):
        problem = refused("the key of a history is that of its rows", key, 'key="customer_id", versions=True')
    if problem is not None:
        problem.where = where or problem.where
        raise problem
    return (*key, VALID_FROM), time or VALID_FROM


def _origin(body: Callable[..., Any]) -> Origin:
    code = body.__code__
    linecache.checkcache(code.co_filename)
    linecache.getlines(code.co_filename)  # its text at this time: the file may be edited while a run takes long
    return Origin(code.co_filename, code.co_firstlineno, f"def {body.__name__}(…)")
