"""Keep the history of a table by key: a run closes the versions of rows that changed or went, and opens new ones.

A history cannot be computed again. So each run continues the published one, whatever else is built anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ibis

from mainstem.checks.audit import QUARANTINE, aside_of, judge, keep_aside, ordered, scan_of, set_aside
from mainstem.checks.examine import examine, refuse
from mainstem.checks.unusual import unusual
from mainstem.checks.violations import Subject
from mainstem.errors import SchemaError
from mainstem.nodes.checks import NotNull, Unique
from mainstem.nodes.records import CheckResult
from mainstem.planning.execution import Context, StepResult
from mainstem.ports import DataFile, Field, Record, ReplaceAll, ReplaceFiles, Snapshot, Target
from mainstem.statistics.keeping import Counting
from mainstem.tables.history import STAMPS, Aside, Compared, compared
from mainstem.tables.new_part import Part
from mainstem.tables.written import Written, written

HISTORY = "mainstem.history"
"""The snapshot property with the key of a history, as JSON."""


def versioned(
    context: Context, subject: Subject, target: Target, whole: Part, made: Mapping[str, str], refresh: bool
) -> StepResult:
    """Compare the rows of a table with its current versions, and commit the history that follows.

    Raises `CheckFailed`, also for a key that comes twice, and `SchemaError` if the history would lose a column.
    """
    name = str(subject.table.get_name())
    definition = context.graph[name]
    node: Any = definition.node
    published = context.release.tables.get(name)
    base = published if published is not None and HISTORY in published.properties else None
    if base is not None:
        _check_key_stays(name, base, node.version_key, definition.where)
        _check_schema(name, base, target, definition.where)
    plain = replace(target, fields=tuple(field for field in target.fields if field.name not in STAMPS))
    rows = replace(subject, table=ibis.table(_types(plain.fields), name=name), key=node.version_key)
    wrote = written(context, name, whole.rows, whole.relations, plain)
    good, bad, doubts = set_aside(context, rows, wrote.valid, plain)
    _check_key(context, rows, good, plain)
    aside = (*wrote.aside, *bad)
    change = compared(context, base, target, good, node, _aside(context, name, node.version_key, aside, wrote.aside))
    seen = _Seen(context, subject, base, {**made, HISTORY: json.dumps(node.version_key)}, aside, wrote, doubts, refresh)
    if base is not None and base.fields == target.fields and not change.opened and not change.closed:
        return seen.unchanged(base)
    return seen.changed(target, change, published)


@dataclass(frozen=True)
class _Seen:
    """What a run saw of a table with a history: the rows set aside, and what verbs and quarantine checks found."""

    context: Context
    subject: Subject
    base: Snapshot | None
    properties: Mapping[str, str]
    aside: tuple[DataFile, ...]
    wrote: Written
    doubts: Sequence[CheckResult]
    refresh: bool

    @property
    def name(self) -> str:
        return str(self.subject.table.get_name())

    def unchanged(self, base: Snapshot) -> StepResult:
        """Keep the published history."""
        results = ordered(self.subject.checks, self.doubts, judge(self.context, self.subject, base))
        refuse(self.name, results, where=self.context.graph[self.name].where)
        kept = replace(base, properties={**base.properties, **self.properties})
        return self._result(kept, 0, results, "no row changed")

    def changed(self, target: Target, change: Compared, published: Snapshot | None) -> StepResult:
        """Commit the versions that a comparison opened and closed."""
        context, subject, base, opened = self.context, self.subject, self.base, _rows(change.opened)
        context.report(_versions(opened, "new "))
        same = base is not None and base.fields == target.fields
        files = (*change.kept, *change.opened)
        counting = Counting(context, target, files, None, base if same else None, change.stay if same else None)
        snapshot = context.lake.commit(
            self.name,
            target,
            files,
            base=published,
            run=context.run,
            change=ReplaceFiles(change.gone) if same else ReplaceAll(),
            properties=self.properties,
        )
        counted = counting.of(snapshot)
        judged = (*judge(context, subject, snapshot), *unusual(context, subject, counted))
        results = ordered(subject.checks, self.doubts, judged)
        refuse(self.name, results, where=context.graph[self.name].where, kept=snapshot.id)
        if base is None:
            return self._result(snapshot, opened, results, "the history begins", counted)
        told = f"{_versions(opened)} opened, {change.closed:,} closed"
        return self._result(snapshot, opened, results, told, counted)

    def _result(
        self, snapshot: Snapshot, opened: int, results: Sequence[CheckResult], message: str, *records: Record
    ) -> StepResult:
        rows = _rows(self.aside)
        why = () if self.base is None else _kept_why(self.context, self.name, self.refresh)
        return StepResult(
            tables={self.name: snapshot, **_set_aside(self.context, self.name, self.aside), **self.wrote.statistics},
            rows_in=opened + rows,
            published=opened,
            quarantined=rows,
            checks=(*self.wrote.results, *results),
            message="; ".join((message, *why)),
            records=records,
        )


def refuse_lost(context: Context, name: str) -> None:
    """Refuse to build a table without versions where its history is published. Raises `SchemaError`."""
    published = context.release.tables.get(name)
    if published is not None and HISTORY in published.properties:
        raise SchemaError(
            f"{name}: a history is published, and the table no longer keeps versions",
            where=context.graph[name].where,
            expected="versions=True",
            hint=f"give the table a new name, or let the history go: take the table out, and mainstem drop {name}",
        )


def _check_key_stays(name: str, base: Snapshot, key: Sequence[str], where: str) -> None:
    had = json.loads(base.properties[HISTORY])
    if had != list(key):
        raise SchemaError(
            f"{name}: the history has another key",
            where=where,
            got=", ".join(key),
            expected=", ".join(had),
            hint="restore the key, or give the table a new name",
        )


def _check_schema(name: str, base: Snapshot, target: Target, where: str) -> None:
    """Refuse to lose a column of the history, or to change its type so that values could be lost."""
    types = _types(target.fields)
    for field in base.fields:
        if field.name not in types:
            raise SchemaError(
                f"{name}: the history has the column {field.name!r}, and the table no longer has it",
                where=where,
                expected=f"the column {field.name!r}: {field.type}",
                hint="restore the column, with null if it has no values any more, or give the table a new name",
            )
        if not widens(field.type, types[field.name]):
            raise SchemaError(
                f"{name}: the column {field.name!r} of the history has another type",
                where=where,
                got=types[field.name],
                expected=f"{field.type}, or a wider type",
                hint="restore the type, add the new one as another column, or give the table a new name",
            )


def widens(before: str, after: str) -> bool:
    """Return whether every value of a type is exactly a value of the other."""
    old, new = ibis.dtype(before), ibis.dtype(after)
    if old == new:
        return True
    if old.is_integer() and new.is_integer():
        return bool(new.bounds.lower <= old.bounds.lower and old.bounds.upper <= new.bounds.upper)
    if old.is_integer() and new.is_float64():
        return bool(old.nbytes <= 4)
    if old.is_decimal() and new.is_decimal():
        return bool(new.scale >= old.scale and new.precision - new.scale >= old.precision - old.scale)
    return bool(old.is_float32() and new.is_float64())


def _check_key(context: Context, rows: Subject, files: Sequence[DataFile], plain: Target) -> None:
    """Refuse new rows without a key, and a key that comes twice."""
    name, checks = str(rows.table.get_name()), (NotNull("error", rows.key), Unique("error", rows.key))
    with context.engine.session({name: scan_of(files, plain)}) as session:
        refuse(name, examine(session, replace(rows, checks=checks, references={})), where=context.graph[name].where)


def _aside(
    context: Context, name: str, key: Sequence[str], files: tuple[DataFile, ...], by_verbs: Sequence[DataFile]
) -> Aside:
    """Return the rows that are set aside. What a verb sets aside has its key as it was before all verbs."""
    fields = aside_of(context, name).fields
    schema, types = context.graph[name].schema or {}, _types(fields)
    is_changed = any(set(key) & set(verb.changed) for verb in context.graph[name].clean)
    unlike = is_changed or any(types.get(column) != schema[column] for column in key)
    return Aside(files, fields, bool(by_verbs) and unlike)


def _set_aside(context: Context, name: str, files: tuple[DataFile, ...]) -> dict[str, Snapshot]:
    held = context.release.tables.get(QUARANTINE + name)
    return keep_aside(context, name, files) if files or (held is not None and held.rows) else {}


def _versions(count: int, which: str = "") -> str:
    return f"{count:,} {which}version{'' if count == 1 else 's'}"


def _kept_why(context: Context, name: str, refresh: bool) -> tuple[str, ...]:
    """Return what the run says where a table without history would be built again."""
    is_redefined = context.release.fingerprints.get(name) != context.graph[name].made_by
    return ("the history is kept, as it cannot be computed again",) if refresh or is_redefined else ()


def _types(fields: Sequence[Field]) -> dict[str, str]:
    return {field.name: field.type for field in fields}


def _rows(files: Sequence[DataFile]) -> int:
    return sum(file.rows for file in files)
