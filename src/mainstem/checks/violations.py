"""From a check to the rows that violate it: a boolean column, true where a row violates the check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ibis

from mainstem.checks.constants import fits
from mainstem.errors import DefinitionError, SchemaError
from mainstem.nodes.anomalies import Anomaly
from mainstem.nodes.checks import Accepted, Between, Calendar, Check, Expression, ForeignKey, Fresh, NotNull, Unique
from mainstem.nodes.durations import microseconds
from mainstem.nodes.expressions import resolve_boolean, resolve_column
from mainstem.nodes.instants import EARLIEST, INSTANT, LATEST


@dataclass(frozen=True, eq=False)
class Subject:
    """A relation under test: its rows, their key, its checks, and the expressions that its foreign keys refer to.

    `earlier` are rows of the same relation that come before these: a unique value must not occur there either.
    """

    table: ibis.Table
    checks: tuple[Check, ...]
    key: tuple[str, ...] = ()
    where: str | None = None
    references: Mapping[Check, ibis.Table] = field(default_factory=dict)
    earlier: ibis.Table | None = None


def declared(node: Any, *, severity: str = "error") -> tuple[Check, ...]:
    """Return the checks of a node, preceded by a check that its key is unique unless the node declares one.

    The column of an incremental table must have values: a warning is not enough.
    """
    said = {(type(c), c.columns) for c in node.checks if isinstance(c, (NotNull, Unique))}
    named = {column for c in node.checks if isinstance(c, NotNull) for column in c.columns}
    key: list[Check] = []
    if node.key and not set(node.key) <= named:
        key.append(NotNull(severity, node.key))  # type: ignore[arg-type]
    if node.key and (Unique, node.key) not in said:
        key.append(Unique(severity, node.key))  # type: ignore[arg-type]
    column = getattr(node, "incremental", None)
    strict = {
        c for check in node.checks if isinstance(check, NotNull) and check.severity != "warn" for c in check.columns
    }
    if column is not None and column not in strict and column not in node.key:
        key.append(NotNull("error", (column,)))
    return (*key, *node.checks)


def validate(table: ibis.Table, checks: Iterable[Check], where: str | None = None) -> None:
    """Refuse a check that does not fit the table's columns. Raises `UnknownName` or `SchemaError`."""
    for check in checks:
        if isinstance(check, (Unique, ForeignKey)):
            columns_of(table, check.columns, where)
        elif isinstance(check, Anomaly):
            _measurable(table, check, where)
        elif isinstance(check, Fresh):
            _instants(table, check, where)
            microseconds(check.within, where)
        else:
            violation(table, check, where)


def violation(table: ibis.Table, check: Check, where: str | None = None) -> ibis.Value | None:
    """Return a boolean column, never null, that is true for a row that violates `check`; None for a check of a whole
    table."""
    match check:
        case NotNull():
            return ibis.or_(*(c.isnull() for c in columns_of(table, check.columns, where)))
        case Calendar():
            return ibis.or_(*(beyond(c) for c in columns_of(table, check.columns, where))).fill_null(False)
        case Between():
            column = resolve_column(table, check.column, where)
            fits(column.type(), (check.low, check.high), check, where)
            return _outside(column, check.low, check.high)
        case Accepted():
            column = resolve_column(table, check.column, where)
            fits(column.type(), check.values, check, where)
            values = [value for value in check.values if value is not None]
            return (column.notnull() & ~column.isin(values)).fill_null(False)
        case Expression():
            return (~resolve_boolean(table, check.condition, where)).fill_null(False)
        case _:
            return None


def referred(subject: Subject, check: ForeignKey) -> ibis.Table:
    if check not in subject.references:
        raise DefinitionError(f"{check.label} refers to a node without rows", where=subject.where)
    theirs = subject.references[check]
    columns = columns_of(theirs, check.to_columns, subject.where)
    return theirs.select({f"_to{number}": column for number, column in enumerate(columns)}).distinct()


def pairs(check: ForeignKey) -> list[tuple[str, str]]:
    return [(column, f"_to{number}") for number, column in enumerate(check.columns)]


def columns_of(table: ibis.Table, names: Sequence[str], where: str | None) -> list[ibis.Value]:
    return [resolve_column(table, name, where) for name in names]


def beyond(column: ibis.Value) -> ibis.Value:
    """Return where an instant or a date is outside the years 1 to 9999."""
    first, last = (EARLIEST, LATEST) if column.type().is_timestamp() else (EARLIEST.date(), LATEST.date())
    return (column < ibis.literal(first, type=column.type())) | (column > ibis.literal(last, type=column.type()))


def _outside(column: ibis.Value, low: Any, high: Any) -> ibis.Value:
    bounds = [column < low] if low is not None else []
    bounds += [column > high] if high is not None else []
    if column.type().is_floating():
        bounds.append(column.isnan())  # DuckDB sorts NaN above every number, other engines do not
    return ibis.or_(*bounds).fill_null(False)


def _measurable(table: ibis.Table, check: Anomaly, where: str | None) -> None:
    """Refuse a column that the measure of `anomaly` does not fit. Raises `UnknownName` or `SchemaError`."""
    if check.column is None:
        return
    kind = resolve_column(table, check.column, where).type()
    if check.measure in ("mean", "low", "high") and not kind.is_numeric():
        raise SchemaError(
            f"{check.label} requires a number", where=where, got=f"{check.column}: {kind}", expected="a numeric column"
        )
    if kind.is_array() or kind.is_binary() or kind.is_uuid():
        raise SchemaError(f"{check.label} cannot be counted", where=where, got=f"{check.column}: {kind}")


def _instants(table: ibis.Table, check: Fresh, where: str | None) -> None:
    """Refuse the column of `fresh` unless it holds instants. Raises `SchemaError`."""
    kind = resolve_column(table, check.column, where).type()
    if not kind.is_timestamp():
        raise SchemaError(
            f"{check.label} requires an instant", where=where, got=f"{check.column}: {kind}", expected=INSTANT
        )
