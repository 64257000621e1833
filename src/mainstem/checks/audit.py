"""Write and audit: the step that sources and tables share.

Rows are written once. They are written again, split in two, only if a quarantine check finds violations. The other
checks then test the rows to publish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import ibis

from mainstem.checks.calendar import calendar
from mainstem.checks.examine import examine
from mainstem.checks.quarantine import quarantine_schema, split
from mainstem.checks.violations import Subject
from mainstem.graph.lineage import leaves
from mainstem.graph.named import named
from mainstem.nodes.anomalies import Anomaly
from mainstem.nodes.checks import Check, ForeignKey, Unique
from mainstem.nodes.records import CheckResult, Release, now
from mainstem.nodes.tables import VALID_TO
from mainstem.planning.execution import Context
from mainstem.ports import DataFile, ReplaceAll, ReplaceFiles, Scan, Session, Snapshot, Target

QUARANTINE = "quarantine."
"""Prefix of the relation that holds a table's quarantined rows."""


def subject_of(context: Context, name: str, checks: Sequence[Check], types: Mapping[str, str] | None = None) -> Subject:
    """Return the stored relation `name` as the subject of checks, with other columns than defined if `types` are
    given."""
    definition = context.graph[name]
    node: Any = definition.node
    table = ibis.table(dict(types or definition.schema or {}), name=name)
    references: dict[Check, ibis.Table] = {
        check: table if context.graph.name_of(check.to) == name else context.graph[context.graph.name_of(check.to)].read
        for check in checks
        if isinstance(check, ForeignKey)
    }
    return Subject(table, tuple(checks), node.key, definition.where, references)


def reveal(session: Session, context: Context, subject: Subject) -> None:
    """Add the relations that foreign keys refer to to a session that sees the subject."""
    own = subject.table.get_name()
    for relation in {leaf for read in subject.references.values() for leaf in leaves(read)} - {own}:
        session.add(relation, context.scan(context.snapshot(relation)))


def current(context: Context, subject: Subject) -> Subject:
    """Return the subject with the rows that checks judge: of a history, the current versions."""
    node: Any = context.graph[subject.table.get_name()].node
    if not getattr(node, "versions", False):
        return subject
    return replace(subject, table=subject.table.filter(subject.table[VALID_TO].isnull()))


def set_aside(
    context: Context,
    subject: Subject,
    files: Sequence[DataFile],
    target: Target,
    earlier: Sequence[str] = (),
    aside: Target | None = None,
) -> tuple[tuple[DataFile, ...], tuple[DataFile, ...], tuple[CheckResult, ...]]:
    """Run the quarantine checks on new files. Return the files to publish, the files to set aside, and the results.

    `earlier` are paths of files with earlier rows of the same relation. `aside` is where to write the rows that are set
    aside; its further columns are null.
    """
    doubts = (c for c in subject.checks if c.severity == "quarantine")
    doubtful = replace(subject, checks=(*calendar(files, _types(target)), *doubts))
    if not doubtful.checks or not files:
        return tuple(files), (), ()
    name = subject.table.get_name()
    relations = {name: scan_of(files, target)}
    if earlier and any(isinstance(check, Unique) for check in doubtful.checks):
        relations["earlier rows"] = Scan(tuple(earlier), target.fields, 0)
        doubtful = replace(doubtful, earlier=ibis.table(_types(target), name="earlier rows"))
    with context.engine.session(relations) as session:
        reveal(session, context, doubtful)
        results = examine(session, doubtful)
        if all(result.passed for result in results):
            return tuple(files), (), results
        good, bad = split(doubtful, run=context.run, at=now())
        aside = aside or aside_of(context, name)
        more = {field.name: ibis.null(field.type) for field in aside.fields if field.name not in bad.columns}
        return session.write(good, target), session.write(bad.mutate(*named(more)), aside), results


def judge(context: Context, subject: Subject, snapshot: Snapshot) -> tuple[CheckResult, ...]:
    """Return the results of all checks other than quarantine on a snapshot."""
    checks = tuple(c for c in subject.checks if c.severity != "quarantine" and not isinstance(c, Anomaly))
    if not checks:
        return ()
    name = subject.table.get_name()
    with context.engine.session({name: context.scan(snapshot)}) as session:
        reveal(session, context, subject)
        return examine(session, replace(current(context, subject), checks=checks))


def keep_aside(
    context: Context,
    name: str,
    files: Sequence[DataFile],
    *,
    replaced: Literal["all"] | frozenset[str] = "all",
    release: Release | None = None,
) -> dict[str, Snapshot]:
    """Commit the rows set aside, beside those already there except for the data files whose names are `replaced`.

    Those already there are of the `release`, by default the one in the making. Rows from before a change of the schema
    are written again, with null in columns that are new. Returns an empty mapping where nothing changes.
    """
    relation = QUARANTINE + name
    base = (release or context.release).tables.get(relation)
    if not files and base is None:
        return {}
    target = aside_of(context, name)
    everything = replaced == "all" or base is None or base.fields != target.fields
    if replaced != "all" and base is not None and base.fields != target.fields:
        files = (*files, *_moved(context, base, replaced, target))
    held = [] if base is None else context.lake.scan(base).files
    gone = list(held) if everything else [path for path in held if Path(path).name in replaced]
    if not files and not gone:
        return {} if base is None or base == context.release.tables.get(relation) else {relation: base}
    change = ReplaceAll() if everything else ReplaceFiles(tuple(gone))
    return {relation: context.lake.commit(relation, target, files, base=base, run=context.run, change=change)}


def _moved(context: Context, base: Snapshot, replaced: frozenset[str], target: Target) -> tuple[DataFile, ...]:
    """Write the rows of a snapshot that are not `replaced` in the columns of another schema."""
    scan = context.scan(base)
    left = tuple(path for path in scan.files if Path(path).name not in replaced)
    if not left:
        return ()
    old = ibis.table({field.name: field.type for field in base.fields}, name=base.table)
    values = {f.name: old[f.name].cast(f.type) if f.name in old.columns else ibis.null(f.type) for f in target.fields}
    with context.engine.session({base.table: replace(scan, files=left)}) as session:
        return session.write(old.select(*named(values)), target)


def aside_of(context: Context, name: str) -> Target:
    """Return where to write the rows of a relation that are set aside."""
    return context.lake.target(QUARANTINE + name, quarantine_schema(context.graph[name].set_aside))


def scan_of(files: Sequence[DataFile], target: Target) -> Scan:
    """Return a scan of files that no snapshot refers to yet."""
    return Scan(tuple(file.path for file in files), target.fields, sum(file.rows for file in files))


def ordered(checks: Sequence[Check], *found: Sequence[CheckResult]) -> tuple[CheckResult, ...]:
    """Return results in the order in which their checks are declared."""
    place = {check.label: number for number, check in enumerate(checks)}
    return tuple(sorted((result for results in found for result in results), key=lambda r: place.get(r.label, -1)))


def _types(target: Target) -> dict[str, str]:
    return {field.name: field.type for field in target.fields}
