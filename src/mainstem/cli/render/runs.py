"""Plans and runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.markup import escape

from mainstem.cli.render.tables import grid, verdict
from mainstem.cli.render.words import MARKS, STYLES, count, seconds, styled

if TYPE_CHECKING:
    from mainstem.nodes.records import CheckResult, RunRecord, StepRecord
    from mainstem.planning.plan import Plan
    from mainstem.planning.runner import Event

NODE_WIDTH = 28


def plan(plan: Plan) -> RenderableType:
    """Return the steps with their reasons, or that nothing is due."""
    if not plan and plan.broken:
        return f"nothing else to do: the data of branch {escape(plan.branch)} is as declared"
    if not plan:
        return f"nothing to do: branch {escape(plan.branch)} is as declared"
    return grid(("step", "node", "why"), [(step.kind, step.node, step.reason) for step in plan.steps])


def sampled(plan: Plan) -> Iterator[str]:
    """Yield that the branch works on a sample."""
    if plan.sample:
        yield f"branch {escape(plan.branch)} works on a sample: {escape(str(plan.sample))}"


def taken_back(plan: Plan) -> Iterator[str]:
    """Yield that the branch was rolled back, where the plan would publish again."""
    if plan and plan.rolled_back:
        yield f"{plan.rolled_back} was rolled back: [bold]mainstem run --forward[/] publishes again from here"


def details(plan: Plan) -> Iterator[str]:
    """Yield what the steps do to rows, one line each."""
    yield from (escape(f"{step.kind} {step.node}: {detail}") for step in plan.steps for detail in step.details)


def under_way(event: Event) -> str:
    """Return the line for what the run does now."""
    more = f": {event.message}" if event.message else ""
    return escape(f"{event.step.kind} {event.step.node}{more}")


def ended(event: Event) -> Iterator[str]:
    """Yield the lines of a step that has ended; empty before."""
    if event.record is not None:
        yield _step(event.record)
        yield from (_check(result) for result in event.record.checks if _is_told(result))


def summary(record: RunRecord) -> Iterator[str]:
    """Yield the lines about the end of a run."""
    if record.status == "unchanged":
        yield f"nothing to do: branch {escape(record.branch)} is as declared"
        return
    took = seconds((record.ended_at - record.started_at).total_seconds()) if record.ended_at else ""
    release = f", release {record.release}" if record.release else ""
    yield f"{styled(record.status)} in {took}: run {record.id} on branch {escape(record.branch)}{release}"


def _step(record: StepRecord) -> str:
    style = STYLES[record.status]
    name = f"{record.kind} {record.node}"
    trouble = record.error.split("\n")[0] if record.error else ""  # the complete error follows on standard error
    again = f"attempt {record.attempts}" if record.attempts > 1 else ""
    told = "; ".join(text for text in (_rows(record), record.message, again, trouble) if text)
    line = f"{escape(name):<{NODE_WIDTH}} {seconds(record.seconds):>9}  {escape(told)}"
    return f"[{style}]{MARKS[record.status]}[/] {line}".rstrip()


def _rows(record: StepRecord) -> str:
    """Return rows in, published and quarantined. The first is the sum of the others."""
    if record.rows_in is None:
        return ""
    if not record.quarantined:
        return f"{count(record.rows_in)} row{'s' if record.rows_in != 1 else ''}"
    parts = f"{count(record.published)} published + {count(record.quarantined)} quarantined"
    return f"{count(record.rows_in)} rows in = {parts}"


def _is_told(result: CheckResult) -> bool:
    return not (result.passed and result.judged) or result.share is not None


def _check(result: CheckResult) -> str:
    if result.passed and result.share is not None:
        return f"    {result.share:.1%} of {count(result.rows)} rows match: {escape(result.label)}"
    if result.message:
        return f"    {escape(result.label)}: {verdict(result)} ({result.severity})"
    return f"    {verdict(result)} of {escape(result.label)} ({result.severity})"
