"""Examine a relation: count what violates its checks in one pass, and sample violating rows where there are some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import ibis

from mainstem.checks.quarantine import flag
from mainstem.checks.violations import Subject, columns_of, pairs, referred, violation
from mainstem.errors import CheckFailed
from mainstem.graph.named import named
from mainstem.nodes.anomalies import Anomaly
from mainstem.nodes.checks import Calendar, Check, Expression, ForeignKey, Fresh, NotNull, RowCount, Unique
from mainstem.nodes.durations import microseconds
from mainstem.nodes.expressions import names_in, resolve_column
from mainstem.nodes.records import CheckResult, now
from mainstem.ports import Session

SAMPLE = 5
"""Violating rows kept with a result."""


def examine(session: Session, subject: Subject, *, at: datetime | None = None) -> tuple[CheckResult, ...]:
    """Return the result of each check, in order, except those of `ms.anomaly`, which read no rows.

    The session sees the subject's table and its references.
    """
    subject = replace(subject, checks=tuple(c for c in subject.checks if not isinstance(c, Anomaly)))
    counted = _count(session, subject)
    return tuple(
        _result(session, subject, number, check, counted, at or now()) for number, check in enumerate(subject.checks)
    )


def refuse(name: str, results: Sequence[CheckResult], *, where: str, kept: int | None = None) -> None:
    """Raise `CheckFailed` if a check of severity error found violations. `kept` is the snapshot kept for inspection."""
    failed = [r for r in results if r.severity == "error" and not r.passed]
    if not failed:
        return
    first, others = failed[0], failed[1:]
    also = f" (and {', '.join(r.label for r in others)})" if others else ""
    inspect = f"; snapshot {kept} is kept for inspection" if kept is not None else ""
    if first.message:
        raise CheckFailed(
            f"{name}: {first.label}: {first.message}{also}",
            where=where,
            hint=f"correct the data, or declare severity='warn' to publish such a table{inspect}",
        )
    raise CheckFailed(
        f"{name}: {first.label} is violated by {first.violations:,} of {first.rows:,} rows{also}",
        where=where,
        got="; ".join(_shown(row) for row in first.sample[:3]) or None,
        expected=first.label,
        hint=f"correct the data, or set the rows aside with severity='quarantine'{inspect}",
    )


def _count(session: Session, subject: Subject) -> dict[str, Any]:
    """Return one row: `rows`, and for each check the columns `c0`, `c1`, … that the pass over the table counts."""
    table = subject.table
    measures = {"rows": table.count()}
    for number, check in enumerate(subject.checks):
        measure = None if _repeated(subject, check) else _measure(table, check, subject.where)
        if measure is not None:
            measures[f"c{number}"] = measure
    row: dict[str, Any] = session.fetch(table.aggregate(named(measures))).to_pylist()[0]
    return row


def _measure(table: ibis.Table, check: Check, where: str | None) -> ibis.Value | None:
    if isinstance(check, Unique):
        columns = columns_of(table, check.columns, where)
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
            again = flag(subject, subject.table, check, "_again").filter(ibis._["_again"])
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
    if isinstance(check, Calendar):  # such values fit no Python type: they are shown as texts
        table = table.filter(violation(table, check, subject.where))
        return table.select([c for c in shown if c in table.columns]).cast(dict.fromkeys(check.columns, "string"))
    return table.filter(violation(table, check, subject.where)).select(
        [c for c in shown if c in table.columns] or list(table.columns)
    )


def _read_by(check: Check) -> tuple[str, ...]:
    if isinstance(check, Expression):
        return tuple(sorted(names_in(check.condition)))
    return check.columns if isinstance(check, (Calendar, NotNull)) else (getattr(check, "column", ""),)


def _repeated(subject: Subject, check: Check) -> bool:
    """Return whether a check compares rows with earlier rows, which one pass over the table cannot do."""
    return isinstance(check, Unique) and subject.earlier is not None


def _orphans(subject: Subject, check: ForeignKey) -> ibis.Table:
    """Return the subject's rows whose whole key does not occur in the referenced relation."""
    own = subject.table.drop_null(list(check.columns))
    theirs = referred(subject, check)
    return own.anti_join(theirs, [own[a] == theirs[b] for a, b in pairs(check)])


def _sampled(session: Session, rows: ibis.Table) -> tuple[Mapping[str, Any], ...]:
    return tuple(session.fetch(rows.limit(SAMPLE)).to_pylist())


def _shown(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!s}" for name, value in row.items())
