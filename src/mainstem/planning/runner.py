"""Runs a plan: every step by its executor, then one compare-and-swap that publishes all of it, or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from mainstem.errors import MainstemError, RunFailed
from mainstem.nodes.records import RunRecord, RunStatus, StepRecord, new_id, now
from mainstem.planning.execution import Context, Executor, Outcome
from mainstem.planning.plan import Plan, Step, StepKind


@dataclass(frozen=True)
class Event:
    """What a run tells while it goes on: a step that starts, one that says something, one that has ended."""

    kind: Literal["started", "progress", "ended"]
    step: Step
    message: str = ""
    record: StepRecord | None = None


Listener = Callable[[Event], None]

ESSENTIAL = frozenset({"collect", "drain", "build"})
"""What a run goes on with after a failure, to show all that is wrong with the data at once."""


class Runner:
    """Executes plans with the given executors."""

    def __init__(self, executors: Mapping[StepKind, Executor]) -> None:
        self.executors = executors

    def run(self, plan: Plan, context: Context, listen: Listener = lambda _: None) -> RunRecord:
        """Execute the steps and publish. Nothing is published unless every step succeeded.

        Raises `RunFailed` (its `run` is the record) when a step failed, `ConflictError` when another run moved
        the branch first; on an interrupt the record says so and the interrupt goes on.
        """
        parent = context.release.id
        record = RunRecord(context.run, context.branch, "running")
        context.state.save(record)
        steps: list[StepRecord] = []
        try:
            for step in plan.steps:
                listen(Event("started", step))
                steps.append(self._step(step, context, steps, listen))
                listen(Event("ended", step, record=steps[-1]))
            failed = any(step.status == "failed" for step in steps)
            if not failed:
                self._publish(context, parent)
        except BaseException as problem:
            interrupted = isinstance(problem, KeyboardInterrupt)
            self._close(context, record, steps, "interrupted" if interrupted else "failed")
            raise
        record = self._close(context, record, steps, "failed" if failed else "published")
        if failed:
            raise _failure(record)
        return record

    def _step(self, step: Step, context: Context, before: list[StepRecord], listen: Listener) -> StepRecord:
        blocked = _blocked(step, before)
        if blocked:
            return StepRecord(step.kind, step.node, step.reason, "skipped", message=blocked)
        if step.if_changed and context.is_current(step):
            return StepRecord(step.kind, step.node, step.reason, "done", message="its inputs stayed as they were")
        context.report = lambda message: listen(Event("progress", step, message))
        began = time.perf_counter()
        try:
            outcome = self.executors[step.kind](step, context)
        except MainstemError as problem:
            if step.node in context.graph:
                problem.at(context.graph[step.node].where)
            return StepRecord(
                step.kind, step.node, step.reason, "failed", time.perf_counter() - began, error=str(problem)
            )
        context.absorb(step, outcome)
        return _done(step, outcome, time.perf_counter() - began)

    def _publish(self, context: Context, parent: str) -> None:
        release = replace(context.release, id=new_id("rel"), run=context.run, parent=parent or None, created_at=now())
        context.release = release
        context.state.save(release)
        context.state.move(context.branch, release.id, expect=parent or None)
        # Outside readers and the sweep may learn of it later: until then the commits' own branches keep the files.
        for snapshot in release.tables.values():
            if snapshot.run == context.run:
                context.lake.pin(snapshot, release.id)
                if context.branch == "main":
                    context.lake.publish(snapshot)

    def _close(self, context: Context, record: RunRecord, steps: list[StepRecord], status: RunStatus) -> RunRecord:
        release = context.release.id if status == "published" else None
        ended = replace(record, status=status, ended_at=now(), steps=tuple(steps), release=release)
        context.state.save(ended)
        return ended


def _blocked(step: Step, before: list[StepRecord]) -> str:
    trouble = {f"{r.kind} {r.node}": r.status for r in before if r.status != "done"}
    cause = next((need for need in step.needs if need in trouble), None)
    if cause:
        return f"{cause} {'failed' if trouble[cause] == 'failed' else 'was skipped'}"
    if trouble and step.kind not in ESSENTIAL:
        return "the run will not publish"
    return ""


def _done(step: Step, outcome: Outcome, seconds: float) -> StepRecord:
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
    )


def _failure(record: RunRecord) -> RunFailed:
    failed = [step for step in record.steps if step.status == "failed"]
    what = ", ".join(f"{step.kind} {step.node}" for step in failed)
    error = RunFailed(
        f"{what} failed; nothing was published",
        where=f"run {record.id} on branch {record.branch}",
        got="\n".join(step.error or "" for step in failed),
        hint="the published release is unharmed; mend the cause and run again",
    )
    error.run = record
    return error
