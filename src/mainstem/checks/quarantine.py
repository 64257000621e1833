"""Split a relation into the rows that pass its quarantine checks and the rows to set aside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import reduce
from operator import add

import ibis

from mainstem.checks.violations import Subject, beyond, pairs, referred, violation
from mainstem.graph.named import named
from mainstem.nodes.checks import Calendar, Check, ForeignKey, Unique
from mainstem.nodes.hidden import CHECK, QUARANTINE, RUN, SEQ, SET_ASIDE_AT
from mainstem.nodes.instants import INSTANT


def passing(subject: Subject) -> ibis.Table:
    """Return the subject's rows that pass every quarantine check."""
    return split(subject, run="", at=datetime.fromtimestamp(0, UTC))[0] if _doubtful(subject) else subject.table


def split(subject: Subject, *, run: str, at: datetime) -> tuple[ibis.Table, ibis.Table]:
    """Return the subject's rows that pass every quarantine check, and the other rows with `_check`, `_run`
    and `_at`."""
    flagged, flags = subject.table, {}
    for number, check in enumerate(_doubtful(subject)):
        flags[f"_violates{number}"] = check.label
        flagged = flag(subject, flagged, check, f"_violates{number}")
    violated = ibis.or_(*(flagged[name] for name in flags))
    shown = {f"_violates{n}": _shown(flagged, check) for n, check in enumerate(_doubtful(subject))}
    labels = ibis.array([ibis.ifelse(flagged[name], shown[name], ibis.null(str)) for name in flags])
    columns = list(subject.table.columns)
    bad = flagged.filter(violated).mutate(**{CHECK: labels.filter(lambda label: label.notnull()).join("; ")})
    return (
        flagged.filter(~violated).select(columns),
        _storable(bad, _doubtful(subject))
        .mutate(**{RUN: ibis.literal(run), SET_ASIDE_AT: ibis.literal(at, type=INSTANT)})
        .select(*columns, *QUARANTINE),
    )


def _doubtful(subject: Subject) -> list[Check]:
    return [check for check in subject.checks if check.severity == "quarantine"]


def _shown(table: ibis.Table, check: Check) -> ibis.Value:
    """Return the label of a violated check. A value that no file can hold stands in it as text."""
    if not isinstance(check, Calendar):
        return ibis.literal(check.label)
    values = (ibis.literal(f" {name}=") + table[name].cast("string").fill_null("null") for name in check.columns)
    return reduce(add, values, ibis.literal(f"{check.label}:"))


def _storable(table: ibis.Table, checks: Iterable[Check]) -> ibis.Table:
    """Return the rows with null in place of what is outside the calendar."""
    names = {name for check in checks if isinstance(check, Calendar) for name in check.columns}
    return table.mutate(
        *named({name: ibis.ifelse(beyond(table[name]), ibis.null(table[name].type()), table[name]) for name in names})
    )


def quarantine_schema(schema: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of `quarantine.TABLE`."""
    return {**schema, **QUARANTINE}


def flag(subject: Subject, table: ibis.Table, check: Check, flag: str) -> ibis.Table:
    match check:
        case Unique():
            return _flag_repeated(subject, table, check, flag)
        case ForeignKey():
            theirs = referred(subject, check).mutate(_found=True)
            joined = table.left_join(theirs, [table[a] == theirs[b] for a, b in pairs(check)])
            whole = ibis.and_(*(joined[c].notnull() for c in check.columns))
            return joined.mutate(*named({flag: whole & joined["_found"].isnull()})).select(*table.columns, flag)
        case _:
            return table.mutate(*named({flag: violation(table, check, subject.where)}))


def _flag_repeated(subject: Subject, table: ibis.Table, check: Unique, flag: str) -> ibis.Table:
    columns = [table[c] for c in check.columns]
    order = [SEQ] if SEQ in table.columns else list(subject.table.columns)
    later = ibis.row_number().over(group_by=columns, order_by=[table[c] for c in order]) > 0
    marked = table.mutate(*named({flag: later & ibis.and_(*(c.notnull() for c in columns))}))
    if subject.earlier is None:
        return marked
    names = {f"_had{number}": column for number, column in enumerate(check.columns)}
    had = subject.earlier.select({name: subject.earlier[column] for name, column in names.items()}).distinct()
    joined = marked.left_join(had.mutate(_had=True), [marked[c] == had[n] for n, c in names.items()])
    return joined.mutate(*named({flag: joined[flag] | joined["_had"].notnull()})).select(*marked.columns)
