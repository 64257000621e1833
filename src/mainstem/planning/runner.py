"""Run a plan: execute every step, then publish all of it, or nothing, with one compare-and-swap."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from mainstem.errors import MainstemError, RunFailed
from mainstem.nodes.records import RunRecord, RunStatus, StepRecord, new_id, now
from mainstem.planning.execution import Context, Executor, StepResult
from mainstem.planning.offering import offer
from mainstem.planning.plan import Plan, Step, StepKind
from mainstem.planning.process import here


@dataclass(frozen=True)
class Event:
    """Progress of a run: a step starts, reports, or ends."""

    kind: Literal["started", "progress", "ended"]
    step: Step
    message: str = ""
    record: StepRecord | None = None


Listener = Callable[[Event], None]


class Runner:
    """Executes plans with the given executors."""

    def __init__(self, executors: Mapping[StepKind, Executor]) -> None:
        self.executors = executors

    def run(self, plan: Plan, context: Context, listen: Listener = lambda _: None) -> RunRecord:
        """Execute the steps and publish. Nothing is published unless every step succeeds.

        Raises `RunFailed` (its `run` is the record) if a step failed, and `ConflictError` if another run moved the
        branch first. An interrupt is recorded and raised again. After the branch has moved, an interrupt has no effect:
        the run is published.
        """
        parent = context.release.id
        record = RunRecord(
            context.run, context.branch, "running", process=here(), whole=plan.covers(context.graph.dag.order)
        )
        context.state.save(record)
        steps: list[StepRecord] = []
        causes: list[MainstemError] = []
        try:
            for step in plan.steps:
                listen(Event("started", step))
                steps.append(self._step(step, context, steps, causes, listen))
                listen(Event("ended", step, record=steps[-1]))
            if not causes:
                self._publish(context, parent, record, steps)
        except BaseException as problem:
            if not _has_moved(context, parent):
                interrupted = isinstance(problem, KeyboardInterrupt)
                self._close(context, record, steps, "interrupted" if interrupted else "failed")
                raise
        if causes:
            raise _failure(self._close(context, record, steps, "failed"), causes)
        with suppress(KeyboardInterrupt):
            offer(context.lake, context.state, context.branch, context.release)
        return context.state.get(RunRecord, context.run) or record

    def _step(
        self, step: Step, context: Context, before: list[StepRecord], causes: list[MainstemError], listen: Listener
    ) -> StepRecord:
        blocked = _blocked(step, before)
        if blocked:
            return StepRecord(step.kind, step.node, step.reason, "skipped", message=blocked)
        if step.if_changed and context.is_current(step):
            return StepRecord(step.kind, step.node, step.reason, "done", message="its inputs did not change")
        context.report = lambda message: listen(Event("progress", step, message))
        began = time.perf_counter()
        try:
            outcome = self.executors[step.kind](step, context)
        except MainstemError as problem:
            if step.node in context.graph:
                problem.within(context.graph[step.node].where)
            causes.append(problem)
            seconds = time.perf_counter() - began
            made_by = context.graph[step.node].made_by if step.node in context.graph else ""
            return StepRecord(
                step.kind, step.node, step.reason, "failed", seconds, error=str(problem), fingerprint=made_by
            )
        context.absorb(step, outcome)
        return _done(step, outcome, time.perf_counter() - began)

    def _publish(self, context: Context, parent: str, record: RunRecord, steps: list[StepRecord]) -> None:
        """Move the branch to the new release and save every record of the run, in one transaction."""
        context.lake.settle()
        content = replace(context.release, run=context.run, parent=parent or None, rolled_back=None)
        release = replace(content, id=new_id("rel"), created_at=now())
        context.release = release
        ended = _ended(record, steps, "published", release.id)
        context.state.publish(context.branch, release, ended, *context.records.made, expect=parent or None)

    def _close(self, context: Context, record: RunRecord, steps: list[StepRecord], status: RunStatus) -> RunRecord:
        ended = _ended(record, steps, status)
        context.state.save(ended)
        return ended


def _ended(record: RunRecord, steps: Sequence[StepRecord], status: RunStatus, release: str | None = None) -> RunRecord:
    return replace(record, status=status, ended_at=now(), steps=tuple(steps), release=release)


def _has_moved(context: Context, parent: str) -> bool:
    """Return whether the branch publishes this run: an interrupt may come right after the move."""
    return context.release.id != parent and context.state.head(context.branch) == context.release.id


def _blocked(step: Step, before: list[StepRecord]) -> str:
    trouble = {f"{r.kind} {r.node}": r.status for r in before if r.status != "done"}
    cause = next((need for need in step.needs if need in trouble), None)
    if cause:
        return f"{cause} {'failed' if trouble[cause] == 'failed' else 'was skipped'}"
    if trouble and step.effect != "data":  # remaining steps run too, so that one run shows all errors in the data
        return "the run will not be published"
    return ""


def _done(step: Step, outcome: StepResult, seconds: float) -> StepRecord:
    return StepRecord(
        step.kind,
        step.node,
        step.reason,
        "done",
        seconds,
        outcome.rows_in,
        outcome.published,
        outcome.quarantined,
        outcome.checks,
        outcome.message,
        findings=outcome.findings,
        interval=step.interval,
    )


def _failure(record: RunRecord, causes: Sequence[MainstemError]) -> RunFailed:
    failed = ", ".join(f"{step.kind} {step.node}" for step in record.steps if step.status == "failed")
    error = RunFailed(
        f"{failed} failed; nothing was published",
        where=f"run {record.id} on branch {record.branch}",
        got="\n".join(map(str, causes)),
        hint="the published release has not changed; correct the cause and run again",
    )
    error.run, error.causes = record, tuple(causes)
    return error
