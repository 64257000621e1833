"""Build a table: write, audit, commit. Readers see it only after the run publishes its release."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mainstem.checks.audit import current, judge, keep_aside, ordered, reveal, set_aside, subject_of
from mainstem.checks.examine import examine, refuse
from mainstem.checks.unusual import unusual, unusual_published
from mainstem.checks.violations import Subject, declared
from mainstem.graph.lineage import leaves
from mainstem.nodes.partitions import partition_of
from mainstem.nodes.records import CheckResult
from mainstem.nodes.spans import Span, aligned, seconds
from mainstem.nodes.statistics import Statistics
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step
from mainstem.ports import Append, DataFile, ReplaceAll, ReplaceFiles, Scan, Snapshot, Target
from mainstem.sources.merging import Rules, merged, newest
from mainstem.statistics.keeping import Counting
from mainstem.tables.intervals import (
    FILE_BYTES,
    LEDGER,
    Due,
    Rest,
    described,
    due,
    keep_others_aside,
    ledger,
    ledger_of,
    rest,
    within,
)
from mainstem.tables.join_checks import check_joins
from mainstem.tables.needed import needed
from mainstem.tables.new_part import Part, defined_before, made_of, new_parts
from mainstem.tables.versions import refuse_lost, versioned
from mainstem.tables.written import Written, together, written

if TYPE_CHECKING:
    import ibis


class Build:
    """The executor of `build` steps. With `refresh` every table is built from all rows of its inputs, and with
    `between` the intervals of incremental tables in that span are built again."""

    def __init__(self, refresh: bool = False, between: Span | None = None) -> None:
        self.refresh, self.between = refresh, between

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
        partition = partition_of(definition.node)
        target = context.lake.target(step.node, dict(definition.schema or {}), partition)
        rows = definition.build if definition.raw is None else definition.raw
        assert rows is not None
        made = made_of(context, subject, rows)
        node: Any = definition.node
        base = context.release.tables.get(step.node)
        whole = Part(rows, {name: _scan(context, name) for name in leaves(rows)})
        if node.incremental or node.write or node.versions:
            target = replace(target, file_bytes=FILE_BYTES)
        if node.versions:
            return versioned(context, subject, target, whole, made, self.refresh)
        refuse_lost(context, step.node)
        parts = None if self.refresh else new_parts(context, subject, target)
        work = _Work(context, subject, target, made)
        if node.write == "merge":
            if base is None or self.refresh or defined_before(context, subject, target, rows) is None:
                return work.replace([whole])
            return work.merge([whole], base, again=True) if parts is None else work.merge(parts, base)
        found = None
        if node.intervals and not self.refresh and (self.between or parts is None):
            also = aligned(self.between, seconds(node.interval)) if self.between else None
            found = due(context, subject, target, rows, also)
        if found is not None and base is not None:
            return work.rebuild(whole, found, base) if found.spans else _unchanged(base, made)
        if parts is None or base is None:
            return work.replace([whole])
        outcome = work.append(parts, base) if parts else StepResult()
        return outcome if outcome.tables else _unchanged(base, made)


@dataclass(frozen=True)
class _Work:
    """Write rows of a table, audit them, and commit them together."""

    context: Context
    subject: Subject
    target: Target
    made: Mapping[str, str]

    @property
    def name(self) -> str:
        return str(self.subject.table.get_name())

    @property
    def column(self) -> str | None:
        """The column of the intervals."""
        found: str | None = self.node.intervals
        return found

    @property
    def node(self) -> Any:
        """The declaration."""
        return self.context.graph[self.name].node

    def replace(self, parts: Sequence[Part]) -> StepResult:
        """Replace all rows."""
        return self._done(self._newest(parts) if self.node.write == "merge" else self._written(parts), ReplaceAll())

    def append(self, parts: Sequence[Part], base: Snapshot) -> StepResult:
        """Append the rows of the parts. The result has no tables if there are none."""
        wrote = self._written(parts)
        if not wrote.valid and not wrote.aside:
            return StepResult()
        return self._done(wrote, Append(), base)

    def merge(self, parts: Sequence[Part], base: Snapshot, *, again: bool = False) -> StepResult:
        """Replace the rows whose key comes again, and keep the others, also those that the inputs have no more."""
        wrote = self._newest(parts) if parts else Written(())
        good, bad, doubts = set_aside(self.context, self.subject, wrote.valid, self.target)
        rules = Rules(self.node.key, self.node.incremental, keeps_later=True)
        merge = merged(self.context, self.context.scan(base).files, self.target, good, rules)
        if not merge.new and not wrote.aside and not bad:
            return _unchanged(base, self.made)
        others = Rest(merge.stay, merge.gone, merge.kept)
        done = replace(wrote, valid=merge.new, aside=(*wrote.aside, *bad))
        return self._done(done, ReplaceFiles(others.gone), base, None, others, doubts, again=again)

    def rebuild(self, whole: Part, found: Due, base: Snapshot) -> StepResult:
        """Replace the rows of the intervals that are due."""
        column = str(self.column)
        part = Part(needed(whole.rows, column, found.spans, nulls=found.nulls), whole.relations)
        wrote = self._written([part], lambda rows: rows.filter(within(rows, column, found.spans, nulls=found.nulls)))
        others = rest(self.context, base, self.target, column, found.spans)
        if not wrote.valid and not wrote.aside and not others.gone:
            return _unchanged(base, self.made)
        return self._done(wrote, ReplaceFiles(others.gone), base, found, others)

    def _newest(self, parts: Sequence[Part]) -> Written:
        return self._written(parts, partial(newest, key=self.node.key, column=self.node.incremental))

    def _written(self, parts: Sequence[Part], only: Callable[[ibis.Table], ibis.Table] = lambda rows: rows) -> Written:
        return together(
            [
                written(self.context, self.name, part.rows, part.relations, self.target, only=only, order=self.column)
                for part in parts
            ]
        )

    def _done(
        self,
        wrote: Written,
        change: Append | ReplaceAll | ReplaceFiles,
        base: Snapshot | None = None,
        found: Due | None = None,
        others: Rest | None = None,
        judged: Sequence[CheckResult] | None = None,
        *,
        again: bool = False,
    ) -> StepResult:
        """Commit the rows. With `again` they are all rows of the inputs, also those that were set aside before."""
        context, subject, target, name = self.context, self.subject, self.target, self.name
        rows = _rows(wrote.valid) + _rows(wrote.aside)
        context.report(f"{rows:,} {'rows' if change == ReplaceAll() else 'new rows'}")
        if judged is None:
            good, bad, doubts = set_aside(context, subject, wrote.valid, target)
        else:
            good, bad, doubts = wrote.valid, (), tuple(judged)
        drawn = None if bad or others is not None else wrote.drawn
        files = good if others is None else (*others.kept, *good)
        counting = Counting(context, target, files, drawn, base, None if others is None else others.stay)
        message = ""
        properties = dict(self.made)
        if self.column:
            properties |= self._ledger(good, found, base, others)
        published = context.release.tables.get(name)
        snapshot = context.lake.commit(
            name, target, files, base=published, run=context.run, change=change, properties=properties
        )
        counted = counting.of(snapshot)
        results = ordered(subject.checks, doubts, judge(context, subject, snapshot), unusual(context, subject, counted))
        refuse(name, results, where=context.graph[name].where, kept=snapshot.id)
        new_aside = (*wrote.aside, *bad)
        if found is None:
            replaced: Any = "all" if again or change == ReplaceAll() else frozenset()
            aside = keep_aside(context, name, new_aside, replaced=replaced)
        else:
            aside = keep_others_aside(context, name, str(self.column), found, new_aside)
        added = _rows(good)
        others_rows = snapshot.rows - added
        stay = f"{others_rows:,} row{' stays' if others_rows == 1 else 's stay'}"
        if change == Append():
            message = f"only what is new; {stay}"
        elif change != ReplaceAll() and found is None:
            message = f"merged by {', '.join(self.node.key)}; {stay}"
        elif found is not None:
            message = f"{self._told(properties)}; {stay}"
        return StepResult(
            tables={name: snapshot, **aside, **wrote.statistics},
            rows_in=rows,
            published=added,
            quarantined=_rows(new_aside),
            checks=(*wrote.results, *results),
            message=message,
            records=(counted,),
        )

    def _ledger(
        self, good: Sequence[DataFile], found: Due | None, base: Snapshot | None, others: Rest | None
    ) -> dict[str, str]:
        before = None if base is None else ledger_of(base)
        paths = [file.path for file in good]
        if others is not None:
            return ledger(self.node, [*others.stay, *(file.path for file in others.kept), *paths], found)
        return ledger(self.node, paths, None, before)

    def _told(self, properties: Mapping[str, str]) -> str:
        return described(properties[LEDGER], seconds(self.node.interval))


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
        found = examine(session, current(context, subject))
    results = ordered(subject.checks, found, unusual_published(context, subject))
    return (*check_joins(context, name, strict=False), *results)


def _rows(files: tuple[DataFile, ...]) -> int:
    return sum(file.rows for file in files)
