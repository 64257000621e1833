"""Build a table: write, audit, commit. Readers see it only after the run publishes its release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mainstem.checks.audit import judge, keep_aside, ordered, reveal, set_aside, subject_of
from mainstem.checks.examine import examine, refuse
from mainstem.checks.unusual import unusual, unusual_published
from mainstem.checks.violations import Subject, declared
from mainstem.graph.lineage import leaves
from mainstem.nodes.records import CheckResult
from mainstem.nodes.statistics import Statistics
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step
from mainstem.ports import Append, DataFile, ReplaceAll, Scan, Snapshot, Target
from mainstem.statistics.keeping import Counting
from mainstem.tables.join_checks import check_joins
from mainstem.tables.new_part import Part, made_of, new_parts
from mainstem.tables.written import together, written


class Build:
    """The executor of `build` steps. With `refresh` every table is built from all rows of its inputs."""

    def __init__(self, refresh: bool = False) -> None:
        self.refresh = refresh

    def __call__(self, step: Step, context: Context) -> StepResult:
        """Check the joins that the table declares, and build it. Raises `CheckFailed`."""
        joins = check_joins(context, step.node)
        outcome = self._made(step, context)
        if not joins:
            return outcome
        shares = {result.label: result.share for result in joins if result.share is not None}
        records = tuple(replace(r, joins=shares) if isinstance(r, Statistics) else r for r in outcome.records)
        return replace(outcome, checks=(*joins, *outcome.checks), records=records)

    def _made(self, step: Step, context: Context) -> StepResult:
        """Build the table from the snapshots of this run: only its new part if that is all that is new.

        Every row of the expression is published or quarantined. Raises `CheckFailed` if a check of severity error finds
        violations. The unpublished snapshot is then kept for inspection.
        """
        definition = context.graph[step.node]
        subject = subject_of(context, step.node, declared(definition.node))
        target = context.lake.target(step.node, dict(definition.schema or {}))
        rows = definition.build if definition.raw is None else definition.raw
        assert rows is not None
        made = made_of(context, subject, rows)
        parts = None if self.refresh else new_parts(context, subject, target)
        if parts is None:
            whole = Part(rows, {name: _scan(context, name) for name in leaves(rows)})
            return _built(context, subject, target, [whole], ReplaceAll(), made)
        base = context.release.tables[step.node]
        if not parts:
            return _unchanged(base, made)
        outcome = _built(context, subject, target, parts, Append(), made)
        return outcome if outcome.tables else _unchanged(base, made)


def _built(
    context: Context,
    subject: Subject,
    target: Target,
    parts: Sequence[Part],
    change: Append | ReplaceAll,
    made: Mapping[str, str],
) -> StepResult:
    """Write the parts, audit them, and commit them together."""
    name = subject.table.get_name()
    wrote = together([written(context, name, part.rows, part.relations, target) for part in parts])
    rows = _rows(wrote.valid) + _rows(wrote.aside)
    if not rows and change == Append():
        return StepResult()
    context.report(f"{rows:,} {'rows' if change == ReplaceAll() else 'new rows'}")
    good, bad, doubts = set_aside(context, subject, wrote.valid, target)
    base = context.release.tables.get(name)
    stays = base if change == Append() else None
    counting = Counting(context, target, good, None if bad else wrote.drawn, stays)
    snapshot = context.lake.commit(name, target, good, base=base, run=context.run, change=change, properties=made)
    counted = counting.of(snapshot)
    results = ordered(subject.checks, doubts, judge(context, subject, snapshot), unusual(context, subject, counted))
    refuse(name, results, where=context.graph[name].where, kept=snapshot.id)
    aside = keep_aside(context, name, (*wrote.aside, *bad), replaced="all" if change == ReplaceAll() else frozenset())
    added = _rows(good)
    return StepResult(
        tables={name: snapshot, **aside, **wrote.statistics},
        rows_in=rows,
        published=added,
        quarantined=_rows(wrote.aside) + _rows(bad),
        checks=(*wrote.results, *results),
        message="" if change == ReplaceAll() else f"only what is new; {snapshot.rows - added:,} rows stay",
        records=(counted,),
    )


def _unchanged(base: Snapshot, made: Mapping[str, str]) -> StepResult:
    """Keep the snapshot. The release saves what it is made of now: what its inputs got adds no rows to it."""
    kept = replace(base, properties={**base.properties, **made})
    return StepResult(
        tables={base.table: kept}, rows_in=0, published=0, quarantined=0, message="what is new adds no rows"
    )


def _scan(context: Context, name: str) -> Scan:
    return context.scan(context.snapshot(name))


def check_published(context: Context, name: str) -> tuple[CheckResult, ...]:
    """Run every check of a source or table on its published rows. Raises `StorageError` if none are published."""
    node = context.graph[name].node
    subject = subject_of(context, name, declared(node))
    with context.session([name]) as session:
        reveal(session, context, subject)
        found = examine(session, subject)
    results = ordered(subject.checks, found, unusual_published(context, subject))
    return (*check_joins(context, name, strict=False), *results)


def _rows(files: tuple[DataFile, ...]) -> int:
    return sum(file.rows for file in files)
