"""Checks, compiled: from a declaration to the rows that violate it.

A check of rows becomes a boolean column, true where a row violates it; all of them are counted in one pass
over the table, together with `unique`, `row_count` and `fresh`. Violating rows are looked for where there are some.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import ibis

from mainstem.checks.constants import fits
from mainstem.errors import CheckFailed, DefinitionError, SchemaError
from mainstem.nodes.checks import Accepted, Between, Check, Expression, ForeignKey, Fresh, NotNull, RowCount, Unique
from mainstem.nodes.durations import microseconds
from mainstem.nodes.expressions import names_in, resolve_boolean, resolve_column
from mainstem.nodes.hidden import CHECK, QUARANTINE, RUN, SEQ, SET_ASIDE_AT
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.records import CheckResult, now
from mainstem.ports import Session

SAMPLE = 5
"""Violating rows kept with a result."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A relation under test: its rows, their key, what is checked, and by which expressions foreign keys are read.

    `earlier` are rows of the same relation that stand before these: what is unique must not occur there either.
    """

    table: ibis.Table
    checks: tuple[Check, ...]
    key: tuple[str, ...] = ()
    where: str | None = None
    references: Mapping[Check, ibis.Table] = field(default_factory=dict)
    earlier: ibis.Table | None = None


def declared(node: Any, *, severity: str = "error") -> tuple[Check, ...]:
    """A node's own checks and, first, that its key identifies a row, unless it says so itself."""
    said = {(type(c), c.columns) for c in node.checks if isinstance(c, (NotNull, Unique))}
    named = {column for c in node.checks if isinstance(c, NotNull) for column in c.columns}
    key: list[Check] = []
    if node.key and not set(node.key) <= named:
        key.append(NotNull(severity, node.key))  # type: ignore[arg-type]
    if node.key and (Unique, node.key) not in said:
        key.append(Unique(severity, node.key))  # type: ignore[arg-type]
    return (*key, *node.checks)


def validate(table: ibis.Table, checks: Iterable[Check], where: str | None = None) -> None:
    """Refuse a check that the table's columns do not allow. Raises `UnknownName` or `SchemaError`."""
    for check in checks:
        if isinstance(check, (Unique, ForeignKey)):
            _columns(table, check.columns, where)
        elif isinstance(check, Fresh):
            _instants(table, check, where)
            microseconds(check.within, where)
        else:
            violation(table, check, where)


def violation(table: ibis.Table, check: Check, where: str | None = None) -> ibis.Value | None:
    """A boolean column, never null, that is true where a row violates `check`; None for checks of a whole table."""
    match check:
        case NotNull():
            return ibis.or_(*(c.isnull() for c in _columns(table, check.columns, where)))
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


def examine(session: Session, subject: Subject, *, at: datetime | None = None) -> tuple[CheckResult, ...]:
    """What each check found, in order. The session sees the subject's table and its references."""
    counted = _count(session, subject)
    return tuple(
        _result(session, subject, number, check, counted, at or now()) for number, check in enumerate(subject.checks)
    )


def refuse(name: str, results: Sequence[CheckResult], *, where: str, kept: int | None = None) -> None:
    """Raise `CheckFailed` if a check of severity error found violations. `kept` is the snapshot left for inspection."""
    failed = [r for r in results if r.severity == "error" and not r.passed]
    if not failed:
        return
    first, others = failed[0], failed[1:]
    also = f" (and {', '.join(r.label for r in others)})" if others else ""
    inspect = f"; snapshot {kept} is kept for inspection" if kept is not None else ""
    raise CheckFailed(
        f"{name}: {first.label} is violated by {first.violations:,} of {first.rows:,} rows{also}",
        where=where,
        got="; ".join(_shown(row) for row in first.sample[:3]) or None,
        expected=first.label,
        hint=f"correct the data, or set the rows aside with severity='quarantine'{inspect}",
    )


# ── counting ──────────────────────────────────────────────────────────────────────────────────────────


def _count(session: Session, subject: Subject) -> dict[str, Any]:
    """One row: `rows`, and per check `c0`, `c1`, … what it needs from the pass over the table."""
    table = subject.table
    measures = {"rows": table.count()}
    for number, check in enumerate(subject.checks):
        measure = None if _repeated(subject, check) else _measure(table, check, subject.where)
        if measure is not None:
            measures[f"c{number}"] = measure
    row: dict[str, Any] = session.fetch(table.aggregate(**measures)).to_pylist()[0]
    return row


def _measure(table: ibis.Table, check: Check, where: str | None) -> ibis.Value | None:
    if isinstance(check, Unique):
        columns = _columns(table, check.columns, where)
        whole = ibis.and_(*(c.notnull() for c in columns))
        value = columns[0] if len(columns) == 1 else ibis.struct(dict(zip(check.columns, columns, strict=True)))
        return table.count(where=whole) - value.nunique(where=whole)
    if isinstance(check, Fresh):
        return resolve_column(table, check.column, where).max()
    condition = violation(table, check, where)
    return None if condition is None else table.count(where=condition)


def _result(
    session: Session, subject: Subject, number: int, check: Check, counted: Mapping[str, Any], at: datetime
) -> CheckResult:
    rows, measured = counted["rows"], counted.get(f"c{number}")
    sample: tuple[Mapping[str, Any], ...] = ()
    match check:
        case RowCount():
            violations = int(
                (check.low is not None and rows < check.low) or (check.high is not None and rows > check.high)
            )
            sample = ({"rows": rows},) if violations else ()
        case Fresh():
            violations = int(measured is None or (at - measured).total_seconds() * 1e6 > microseconds(check.within))
            sample = ({"latest": measured},) if violations else ()
        case ForeignKey():
            missing = _orphans(subject, check)
            violations = session.fetch(missing.aggregate(n=missing.count()))["n"][0].as_py()
            sample = _sampled(session, missing.select(*check.columns).distinct()) if violations else ()
        case Unique() if _repeated(subject, check):
            again = _flag(subject, subject.table, check, "_again").filter(ibis._["_again"])
            violations = session.fetch(again.aggregate(n=again.count()))["n"][0].as_py()
            sample = _sampled(session, again.select(*check.columns)) if violations else ()
        case _:
            violations = int(measured or 0)
            sample = _sampled(session, _violating(subject, check)) if violations else ()
    return CheckResult(check.label, check.severity, violations, rows, sample)


def _violating(subject: Subject, check: Check) -> ibis.Table:
    table = subject.table
    if isinstance(check, Unique):
        return (
            table.drop_null(list(check.columns))
            .group_by(list(check.columns))
            .having(ibis._.count() > 1)
            .aggregate(rows=ibis._.count())
        )
    shown = dict.fromkeys((*subject.key, *_read_by(check)))
    return table.filter(violation(table, check, subject.where)).select(
        [c for c in shown if c in table.columns] or list(table.columns)
    )


def _read_by(check: Check) -> tuple[str, ...]:
    if isinstance(check, Expression):
        return tuple(sorted(names_in(check.condition)))
    return check.columns if isinstance(check, NotNull) else (getattr(check, "column", ""),)


def _repeated(subject: Subject, check: Check) -> bool:
    """Whether a check compares rows with earlier ones, which one pass over the table cannot."""
    return isinstance(check, Unique) and subject.earlier is not None


def _orphans(subject: Subject, check: ForeignKey) -> ibis.Table:
    """Rows of the subject whose whole key occurs nowhere in what it refers to."""
    own = subject.table.drop_null(list(check.columns))
    theirs = _referred(subject, check)
    return own.anti_join(theirs, [own[a] == theirs[b] for a, b in _pairs(check)])


def _referred(subject: Subject, check: ForeignKey) -> ibis.Table:
    if check not in subject.references:
        raise DefinitionError(f"{check.label} refers to a node without rows", where=subject.where)
    theirs = subject.references[check]
    columns = _columns(theirs, check.to_columns, subject.where)
    return theirs.select({f"_to{number}": column for number, column in enumerate(columns)}).distinct()


def _pairs(check: ForeignKey) -> list[tuple[str, str]]:
    return [(column, f"_to{number}") for number, column in enumerate(check.columns)]


def _sampled(session: Session, rows: ibis.Table) -> tuple[Mapping[str, Any], ...]:
    return tuple(session.fetch(rows.limit(SAMPLE)).to_pylist())


# ── quarantine ────────────────────────────────────────────────────────────────────────────────────────


def split(subject: Subject, *, run: str, at: datetime) -> tuple[ibis.Table, ibis.Table]:
    """The subject's rows that pass every quarantine check, and those that do not, with `_check`, `_run` and `_at`."""
    flagged, flags = subject.table, {}
    for number, check in enumerate(c for c in subject.checks if c.severity == "quarantine"):
        flags[f"_violates{number}"] = check.label
        flagged = _flag(subject, flagged, check, f"_violates{number}")
    violated = ibis.or_(*(flagged[name] for name in flags))
    labels = ibis.array([ibis.ifelse(flagged[name], label, ibis.null(str)) for name, label in flags.items()])
    columns = list(subject.table.columns)
    bad = flagged.filter(violated).mutate(**{CHECK: labels.filter(lambda label: label.notnull()).join("; ")})
    return (
        flagged.filter(~violated).select(columns),
        bad.mutate(**{RUN: ibis.literal(run), SET_ASIDE_AT: _instant(at)}).select(*columns, *QUARANTINE),
    )


def quarantine_schema(schema: Mapping[str, str]) -> dict[str, str]:
    """The columns of `quarantine.TABLE`."""
    return {**schema, **QUARANTINE}


def _flag(subject: Subject, table: ibis.Table, check: Check, flag: str) -> ibis.Table:
    match check:
        case Unique():
            return _flag_repeated(subject, table, check, flag)
        case ForeignKey():
            theirs = _referred(subject, check).mutate(_found=True)
            joined = table.left_join(theirs, [table[a] == theirs[b] for a, b in _pairs(check)])
            whole = ibis.and_(*(joined[c].notnull() for c in check.columns))
            return joined.mutate(**{flag: whole & joined["_found"].isnull()}).select(*table.columns, flag)
        case _:
            return table.mutate(**{flag: violation(table, check, subject.where)})


def _flag_repeated(subject: Subject, table: ibis.Table, check: Unique, flag: str) -> ibis.Table:
    columns = [table[c] for c in check.columns]
    order = [SEQ] if SEQ in table.columns else list(subject.table.columns)
    later = ibis.row_number().over(group_by=columns, order_by=[table[c] for c in order]) > 0
    marked = table.mutate(**{flag: later & ibis.and_(*(c.notnull() for c in columns))})
    if subject.earlier is None:
        return marked
    names = {f"_had{number}": column for number, column in enumerate(check.columns)}
    had = subject.earlier.select({name: subject.earlier[column] for name, column in names.items()}).distinct()
    joined = marked.left_join(had.mutate(_had=True), [marked[c] == had[n] for n, c in names.items()])
    return joined.mutate(**{flag: joined[flag] | joined["_had"].notnull()}).select(*marked.columns)


# ── small parts ───────────────────────────────────────────────────────────────────────────────────────


def _columns(table: ibis.Table, names: Sequence[str], where: str | None) -> list[ibis.Value]:
    return [resolve_column(table, name, where) for name in names]


def _outside(column: ibis.Value, low: Any, high: Any) -> ibis.Value:
    bounds = [column < low] if low is not None else []
    bounds += [column > high] if high is not None else []
    if column.type().is_floating():
        bounds.append(column.isnan())  # DuckDB sorts NaN above every number, other engines do not
    return ibis.or_(*bounds).fill_null(False)


def _instants(table: ibis.Table, check: Fresh, where: str | None) -> None:
    """Refuse the column of `fresh` unless it holds instants. Raises `SchemaError`."""
    kind = resolve_column(table, check.column, where).type()
    if not kind.is_timestamp():
        raise SchemaError(
            f"{check.label} requires an instant", where=where, got=f"{check.column}: {kind}", expected=INSTANT
        )


def _instant(at: datetime) -> ibis.Value:
    return ibis.literal(at, type=INSTANT)


def _shown(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!s}" for name, value in row.items())
