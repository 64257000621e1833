"""Build a table: write, audit, commit. Readers see it only after the run publishes its release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.checks.audit import judge, keep_aside, ordered, reveal, set_aside, subject_of
from mainstem.checks.examine import examine, refuse
from mainstem.checks.violations import declared
from mainstem.errors import EngineError
from mainstem.graph.lineage import leaves
from mainstem.nodes.records import CheckResult
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step
from mainstem.ports import DataFile, ReplaceAll, Session, Target

if TYPE_CHECKING:
    import ibis


class Build:
    """The executor of `build` steps."""

    def __call__(self, step: Step, context: Context) -> StepResult:
        """Build the table from the snapshots of this run.

        Every row of the expression is published or quarantined. Raises `CheckFailed` if a check of severity error finds
        violations. The unpublished snapshot is then kept for inspection.
        """
        definition = context.graph[step.node]
        subject = subject_of(context, step.node, declared(definition.node))
        target = context.lake.target(step.node, dict(definition.schema or {}))
        with context.session(leaves(definition.build)) as session:
            files = _written(session, definition.build, target)
        rows = _rows(files)
        context.report(f"{rows:,} rows")
        good, bad, doubts = set_aside(context, subject, files, target)
        base = context.release.tables.get(step.node)
        snapshot = context.lake.commit(step.node, target, good, base=base, run=context.run, change=ReplaceAll())
        results = ordered(subject.checks, doubts, judge(context, subject, snapshot))
        refuse(step.node, results, where=definition.where, kept=snapshot.id)
        aside = keep_aside(context, step.node, bad)
        return StepResult(
            tables={step.node: snapshot, **aside},
            rows_in=rows,
            published=snapshot.rows,
            quarantined=_rows(bad),
            checks=results,
        )


def _written(session: Session, rows: ibis.Table, target: Target) -> tuple[DataFile, ...]:
    """Write the rows. An error of the engine names the column that it cannot compute."""
    try:
        return session.write(rows, target)
    except EngineError as problem:
        column = None if "memory" in problem.what else _failing(session, rows)
        if column is not None:
            problem.what = f"the engine cannot compute the column {column!r}"
        raise


def _failing(session: Session, rows: ibis.Table) -> str | None:
    """Return the first column that fails by itself, or None if the rows fail without any column."""
    try:
        session.fetch(rows.aggregate(rows=rows.count()))
    except EngineError:
        return None
    for column in rows.columns:
        try:
            session.fetch(rows.aggregate(largest=rows[column].max()))
        except EngineError:
            return str(column)
    return None


def check_published(context: Context, name: str) -> tuple[CheckResult, ...]:
    """Run every check of a source or table on its published rows. Raises `StorageError` if none are published."""
    node = context.graph[name].node
    subject = subject_of(context, name, declared(node))
    with context.session([name]) as session:
        reveal(session, context, subject)
        return examine(session, subject)


def _rows(files: tuple[DataFile, ...]) -> int:
    return sum(file.rows for file in files)
