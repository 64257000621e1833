"""The new part of a table: the rows that are added by what its inputs got since the table was last built.

A table whose inputs only grew, and that is additive in them, is not built again: the new rows are appended. Each
snapshot of a table therefore keeps which snapshots it was made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mainstem.checks.violations import Subject
from mainstem.errors import SnapshotGone
from mainstem.graph.fingerprint import of_expression
from mainstem.graph.increments import added
from mainstem.graph.lineage import leaves
from mainstem.nodes.checks import Unique
from mainstem.nodes.verbs import Hash
from mainstem.planning.execution import Context
from mainstem.ports import Scan, Snapshot, Target
from mainstem.tables.additive import only_adds

if TYPE_CHECKING:
    import ibis

MADE_OF = "mainstem.made_of"
"""The snapshot property with what a table was made of, as JSON."""


class Input(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot of an input: its physical table, id and metadata file."""

    physical: str
    id: int
    metadata: str

    def of(self, now: Snapshot) -> Snapshot:
        """Return the snapshot, given a later one of the same physical table, which has the same fields."""
        return Snapshot(now.table, self.physical, self.id, self.metadata, 0, "", now.fields)


class MadeOf(msgspec.Struct, frozen=True):
    """The fingerprint of the expression that made a snapshot, the snapshots that it read, and the ids of those that
    quarantine checks compared its rows with."""

    expression: str
    inputs: dict[str, Input]
    compared: dict[str, int]


class Part(NamedTuple):
    """Rows to append: an expression, and what its leaves stand for."""

    rows: ibis.Table
    relations: Mapping[str, Scan]


def made_of(context: Context, subject: Subject, rows: ibis.Table) -> dict[str, str]:
    """Return the property that says what a table is made of in this run."""
    inputs = {name: input_of(context.snapshot(name)) for name in sorted(leaves(rows))}
    made = MadeOf(of_expression(rows), inputs, _compared(context, subject))
    return {MADE_OF: msgspec.json.encode(made).decode()}


def reads_instead(snapshot: Snapshot, pairs: Mapping[str, tuple[Snapshot, Snapshot]]) -> Snapshot:
    """Return a table's snapshot as made of the second snapshot of each pair, which has the rows of the first."""
    before = _before(snapshot)
    if before is None:
        return snapshot
    inputs = {
        name: input_of(pairs[name][1]) if name in pairs and read == input_of(pairs[name][0]) else read
        for name, read in before.inputs.items()
    }
    compared = {
        name: pairs[name][1].id if name in pairs and id == pairs[name][0].id else id
        for name, id in before.compared.items()
    }
    made = MadeOf(before.expression, inputs, compared)
    return replace(snapshot, properties={**snapshot.properties, MADE_OF: msgspec.json.encode(made).decode()})


def new_parts(context: Context, subject: Subject, target: Target) -> tuple[Part, ...] | None:
    """Return the parts that are new since the published snapshot of a table was made. None if it must be built again:
    it or its definition changed otherwise, or a quarantine check compares its rows with each other.

    If several inputs grew, each part joins the new rows of one of them with the earlier ones as they are now, and with
    the later ones as they were.
    """
    definition = context.graph[subject.table.get_name()]
    rows = definition.build if definition.raw is None else definition.raw
    if rows is None or not all(verb.rowwise and not isinstance(verb, Hash) for verb in definition.clean):
        return None  # later rows may change earlier ones, or a new salt may make other pseudonyms
    before = made_before(context, subject, target, rows)
    if before is None:
        return None
    now = {each: context.snapshot(each) for each in sorted(before.inputs)}
    grown = [each for each, snapshot in now.items() if snapshot.id != before.inputs[each].id]
    new: dict[str, Scan] = {}
    for each in grown:
        scan = _new_rows(context, now[each], before.inputs[each])
        if scan is None:
            return None
        new[each] = scan
    relations = {each: context.scan(snapshot) for each, snapshot in now.items()}
    earlier = {each: _as_it_was(relations[each], new[each]) for each in grown}
    parts = []
    for place, each in enumerate(grown):
        part = added(rows, each, only_adds)
        if part is None:
            return None
        later = {other: earlier[other] for other in grown[place + 1 :]}
        if new[each].files:
            parts.append(Part(part, {**_of(part, relations), **_of(part, later), each: new[each]}))
    return tuple(parts)


def made_before(context: Context, subject: Subject, target: Target, rows: ibis.Table) -> MadeOf | None:
    """Return what the published snapshot of a table was made of. None if it cannot be continued: it or its definition
    changed, or a quarantine check compares its rows with each other."""
    before = defined_before(context, subject, target, rows)
    base = context.release.tables.get(subject.table.get_name())
    if before is None or base is None or context.damaged_file(base):
        return None
    return None if _compares_rows(subject) or before.compared != _compared(context, subject) else before


def defined_before(context: Context, subject: Subject, target: Target, rows: ibis.Table) -> MadeOf | None:
    """Return what the published snapshot of a table was made of, if the definition is still the same; else None."""
    name = subject.table.get_name()
    base = context.release.tables.get(name)
    if base is None or (base.fields, base.partition) != (target.fields, target.partition):
        return None
    before = _before(base)
    if context.release.fingerprints.get(name) != context.graph[name].made_by or before is None:
        return None
    return before if before.expression == of_expression(rows) else None


def files_between(context: Context, now: Snapshot, before: Input) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the files that an input got since a snapshot, and those that it lost. Raises `SnapshotGone`."""
    if before.physical != now.physical:
        raise SnapshotGone(f"the schema of {now.table!r} changed")
    had, has = context.lake.scan(before.of(now)).files, context.scan(now).files
    new, gone = (tuple(path for path in one if path not in set(other)) for one, other in ((has, had), (had, has)))
    return new, gone


def _compares_rows(subject: Subject) -> bool:
    """Return whether a quarantine check compares the rows of the table with each other."""
    own = {check for check, read in subject.references.items() if read is subject.table}
    return any(
        check.severity == "quarantine" and (isinstance(check, Unique) or check in own) for check in subject.checks
    )


def _compared(context: Context, subject: Subject) -> dict[str, int]:
    quarantined = (read for check, read in subject.references.items() if check.severity == "quarantine")
    names = {leaf for read in quarantined for leaf in leaves(read)} - {subject.table.get_name()}
    return {name: context.snapshot(name).id for name in sorted(names)}


def _before(base: Snapshot) -> MadeOf | None:
    kept = base.properties.get(MADE_OF)
    return msgspec.json.decode(kept, type=MadeOf) if kept else None


def _new_rows(context: Context, now: Snapshot, before: Input) -> Scan | None:
    """Return the files that an input got; None if it lost some too, or if the earlier snapshot is gone."""
    try:
        new, gone = files_between(context, now, before)
    except SnapshotGone:
        return None
    return None if gone else Scan(new, now.fields, 0)


def _as_it_was(now: Scan, new: Scan) -> Scan:
    return Scan(tuple(path for path in now.files if path not in set(new.files)), now.fields, 0)


def _of(part: ibis.Table, relations: Mapping[str, Scan]) -> dict[str, Scan]:
    return {name: scan for name, scan in relations.items() if name in leaves(part)}


def input_of(snapshot: Snapshot) -> Input:
    """Return what a record keeps of a snapshot that was read."""
    return Input(snapshot.physical, snapshot.id, snapshot.metadata)
