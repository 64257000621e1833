"""Run a plan: execute every step, then publish all of it, or nothing, with one compare-and-swap."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from mainstem.errors import MainstemError, RunFailed
from mainstem.nodes.definition import Graph
from mainstem.nodes.records import RunRecord, RunStatus, StepRecord, new_id, now
from mainstem.planning.delivering import inside, outside, undelivered
from mainstem.planning.execution import Context, Executor, StepResult
from mainstem.planning.offering import offer
from mainstem.planning.plan import Plan, Step, StepKind
from mainstem.planning.process import here
from mainstem.planning.retries import Retries, tried
from mainstem.planning.schedule import OF_SOURCES, SIDE_BY_SIDE, Schedule, width
from mainstem.planning.workers import Workers
from mainstem.ports import Divisible, Engine


@dataclass(frozen=True)
class Event:
    """Progress of a run: a step starts, reports, or ends."""

    kind: Literal["started", "progress", "ended"]
    step: Step
    message: str = ""
    record: StepRecord | None = None


Listener = Callable[[Event], None]


class Runner:
    """Executes plans with the given executors. Up to `workers` independent steps run at once; None: as many as there
    are cores and room in memory. `retries` says which steps are tried again."""

    def __init__(
        self,
        executors: Mapping[StepKind, Executor],
        workers: int | None = 1,
        retries: Retries = Retries(),  # noqa: B008 - frozen
    ) -> None:
        self.executors = executors
        self.workers = workers
        self.retries = retries

    def run(self, plan: Plan, context: Context, listen: Listener = lambda _: None) -> RunRecord:
        """Execute the steps and publish. Nothing is published unless every step succeeds. Then deliver to sinks.

        Raises `RunFailed` (its `run` is the record) if a step failed, and `ConflictError` if another run moved the
        branch first. An interrupt is recorded and raised again. After the branch has moved, an interrupt has no effect:
        the run is published. Raises `DeliveryFailed` if a step that writes outside failed.
        """
        parent = context.release.id
        record = RunRecord(
            context.run, context.branch, "running", process=here(), whole=plan.covers(context.graph.dag.order)
        )
        context.state.save(record)
        sent, plan = outside(plan), inside(plan)
        work = _Execution(self.executors, plan, context, listen, self.retries)
        try:
            work.all(_workers(self.workers, plan, context.engine))
            while work.has_evolved and context.replan and not work.causes:
                rest = work.adapted(*context.replan(context.release))
                work.all(_workers(self.workers, rest, context.engine))
            if not work.causes and (plan or not sent):
                self._publish(context, parent, record, work.records, plan.rolled_back)
        except BaseException as problem:
            if not _has_moved(context, parent):
                interrupted = isinstance(problem, KeyboardInterrupt)
                self._close(context, record, work.records, "interrupted" if interrupted else "failed")
                raise
        if work.causes:
            raise _failure(self._close(context, record, work.records, "failed"), work.causes)
        with suppress(KeyboardInterrupt):
            offer(context.lake, context.state, context.branch, context.release)
        if sent:
            return self._deliver(sent, context, record, work.records, listen)
        return context.state.get(RunRecord, context.run) or record

    def _deliver(
        self, plan: Plan, context: Context, record: RunRecord, before: list[StepRecord], listen: Listener
    ) -> RunRecord:
        """Execute the steps that write outside, of what is published. Raises `DeliveryFailed`."""
        work = _Execution(self.executors, plan, context, listen, self.retries)
        try:
            work.all(1)
        finally:
            ended = _ended(record, [*before, *work.records], "published", context.release.id)
            context.state.save(ended)
        if work.causes:
            raise undelivered(ended, work.causes)
        return ended

    def _publish(
        self, context: Context, parent: str, record: RunRecord, steps: list[StepRecord], rolled_back: str | None
    ) -> None:
        """Move the branch to the new release and save every record of the run, in one transaction."""
        context.lake.settle()
        content = replace(
            context.release, branch=context.branch, run=context.run, parent=parent or None, rolled_back=rolled_back
        )
        release = replace(content, id=new_id("rel"), created_at=now())
        context.release = release
        ended = _ended(record, steps, "published", release.id)
        context.state.publish(context.branch, release, ended, *context.records.made, expect=parent or None)

    def _close(self, context: Context, record: RunRecord, steps: list[StepRecord], status: RunStatus) -> RunRecord:
        ended = _ended(record, steps, status)
        context.state.save(ended)
        return ended


def _workers(wanted: int | None, plan: Plan, engine: Engine) -> int:
    """Return how many steps run at once."""
    if wanted == 1 or (most := width(plan)) == 1:
        return 1
    if wanted is None:
        room = engine.room() if isinstance(engine, Divisible) else 1
        wanted = min(os.cpu_count() or 1, room)
    return max(1, min(wanted, most))


class _Execution:
    """The execution of one plan: the records of its steps, and the errors of those that failed.

    Steps run side by side in threads of their own. All else happens in the thread of the run: a step starts with the
    release as it is then, and its results are added when it has ended.
    """

    def __init__(
        self,
        executors: Mapping[StepKind, Executor],
        plan: Plan,
        context: Context,
        listen: Listener,
        retries: Retries,
    ) -> None:
        self._executors, self._retries = executors, retries
        self._plan, self._context, self._listen = plan, context, listen
        self._records: dict[str, StepRecord] = {}
        self._trouble: dict[str, str] = {}
        self._before, self._ended = list[StepRecord](), set[str]()
        self.causes: list[MainstemError] = []
        self.has_evolved = False

    @property
    def records(self) -> list[StepRecord]:
        """The records of the steps that have ended, in the order of the plan."""
        return [*self._before, *(self._records[step.key] for step in self._plan.steps if step.key in self._records)]

    def adapted(self, graph: Graph, plan: Plan) -> Plan:
        """Go on with the steps of another plan that have not ended, after the schema of a source changed. Return
        them."""
        self._context.adopt(graph, {step.node for step in self._plan.steps if step.key in self._records})
        ended = {step.key for step in self._plan.steps if step.key in self._records} | self._ended
        self._before, self._ended = self.records, ended
        self._plan = replace(plan, steps=tuple(step for step in inside(plan).steps if step.key not in ended))
        self.has_evolved = False
        return self._plan

    def all(self, workers: int) -> None:
        """Execute every step. Raises what is not a `MainstemError`, after the running steps have ended or stopped."""
        schedule = Schedule(self._plan, self._context.graph, workers)
        threads: Workers[tuple[Step, Callable[[], StepRecord]]] = Workers()
        engine = self._context.engine
        part = engine.part(workers) if workers > 1 and isinstance(engine, Divisible) else engine
        running = 0
        try:
            while True:
                while (step := schedule.start()) is not None:
                    self._listen(Event("started", step))
                    if (known := self._without_work(step)) is not None:
                        self._end(step, known, schedule)
                    elif workers == 1 or step.kind not in SIDE_BY_SIDE:
                        own = _own(self._context, partial(self._tell, step))
                        self._end(step, self._executed(step, own)(), schedule)
                    else:
                        own = _own(self._context, partial(self._told, threads, step), part)
                        threads.begin(step.key, partial(self._work, step, own))
                        running += 1
                if not running:
                    return
                ended, finish = threads.wait()
                running -= 1
                self._end(ended, finish(), schedule)
        except BaseException:
            threads.leave(part.interrupt if isinstance(part, Divisible) else lambda: None)
            raise

    def _end(self, step: Step, record: StepRecord, schedule: Schedule) -> None:
        self._records[step.key] = record
        if record.status != "done":
            self._trouble[step.key] = record.status
        if self.has_evolved:  # the other steps may have to be planned again
            schedule.only(OF_SOURCES)
        schedule.end(step)
        self._listen(Event("ended", step, record=record))

    def _tell(self, step: Step, message: str) -> None:
        self._listen(Event("progress", step, message))

    def _told(self, threads: Workers[Any], step: Step, message: str) -> None:
        threads.tell(partial(self._tell, step, message))

    def _without_work(self, step: Step) -> StepRecord | None:
        """Return the record of a step that is skipped, or whose inputs did not change; else None."""
        blocked = _blocked(step, self._trouble)
        if blocked:
            return StepRecord(step.kind, step.node, step.reason, "skipped", message=blocked)
        if step.if_changed and self._context.is_current(step):
            return StepRecord(step.kind, step.node, step.reason, "done", message="its inputs did not change")
        return None

    def _work(self, step: Step, own: Context) -> tuple[Step, Callable[[], StepRecord]]:
        return step, self._executed(step, own)

    def _executed(self, step: Step, own: Context) -> Callable[[], StepRecord]:
        """Execute a step. Return how to add its result, or its error, in the thread of the run."""
        began = time.perf_counter()
        outcome, attempts = tried(self._executors[step.kind], step, own, self._retries)
        seconds = time.perf_counter() - began
        if isinstance(outcome, MainstemError):
            return partial(self._failed, step, outcome, seconds, attempts)
        return partial(self._absorbed, step, outcome, seconds, attempts)

    def _absorbed(self, step: Step, outcome: StepResult, seconds: float, attempts: int) -> StepRecord:
        self._context.absorb(step, outcome)
        if step.kind == "collect" and self._context.replan and self._context.has_evolved(step.node):
            self.has_evolved = True
        return _done(step, outcome, seconds, attempts)

    def _failed(self, step: Step, problem: MainstemError, seconds: float, attempts: int) -> StepRecord:
        graph = self._context.graph
        if step.node in graph:
            problem.within(graph[step.node].where)
        self.causes.append(problem)
        made_by = graph[step.node].made_by if step.node in graph else ""
        return StepRecord(
            step.kind,
            step.node,
            step.reason,
            "failed",
            seconds,
            error=str(problem),
            fingerprint=made_by,
            attempts=attempts,
        )


def _own(context: Context, report: Callable[[str], None], engine: Engine | None = None) -> Context:
    """Return the context of one step: with the release as it is now, and its own listener and engine."""
    own = copy(context)
    own.report = report
    own.engine = engine or context.engine
    return own


def _ended(record: RunRecord, steps: Sequence[StepRecord], status: RunStatus, release: str | None = None) -> RunRecord:
    return replace(record, status=status, ended_at=now(), steps=tuple(steps), release=release)


def _has_moved(context: Context, parent: str) -> bool:
    """Return whether the branch publishes this run: an interrupt may come right after the move."""
    return context.release.id != parent and context.state.head(context.branch) == context.release.id


def _blocked(step: Step, trouble: Mapping[str, str]) -> str:
    cause = next((need for need in step.needs if need in trouble), None)
    if cause:
        return f"{cause} {'failed' if trouble[cause] == 'failed' else 'was skipped'}"
    if trouble and step.effect != "data":  # remaining steps run too, so that one run shows all errors in the data
        return "the run will not be published"
    return ""


def _done(step: Step, outcome: StepResult, seconds: float, attempts: int) -> StepRecord:
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
        attempts=attempts,
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
