"""Independent steps run side by side; steps that write elsewhere run alone; a failure stops what depends on it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import CheckFailed, RunFailed
from mainstem.graph.dag import Dag
from mainstem.lake.iceberg import IcebergLake
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.records import Release, RunRecord
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Plan, Step
from mainstem.planning.runner import Event, Runner
from mainstem.planning.schedule import Schedule, width
from mainstem.ports import ReplaceAll
from mainstem.state.sql import SqlState

EMPTY = Graph({}, Dag({}))


class OnlyProbes(Context):
    """Steps here are not nodes of a graph."""

    def read_by(self, node: str) -> dict[str, int]:
        return {}

    def absorb(self, step: Step, outcome: StepResult) -> None:
        super().absorb(replace(step, effect="none"), outcome)


def step(key: str, *needs: str) -> Step:
    kind, node = key.split(" ")
    effect = "online" if kind == "materialise" else "none" if kind == "promote" else "data"
    return Step(kind, node, "asked for", needs, effect=effect)  # type: ignore[arg-type]


PLAN = Plan(
    "main",
    (
        step("build a"),
        step("materialise v", "build a"),
        step("build b", "build a"),
        step("build c", "build a"),
        step("promote m", "build b"),
        step("build d", "build b", "build c"),
    ),
)


def order(schedule: Schedule, end: Callable[[list[Step]], Step] = lambda running: running[0]) -> list[str]:
    """Start and end steps until all are done, and say in which order; `end` chooses the running step that ends next."""
    said, running = list[str](), list[Step]()
    while True:
        while (started := schedule.start()) is not None:
            said.append(started.key)
            running.append(started)
        if not running:
            return said
        ended = end(running)
        running.remove(ended)
        schedule.end(ended)


def test_steps_that_run_alone_wait_for_those_side_by_side() -> None:
    expected = ["build a", "build b", "build c", "build d", "materialise v", "promote m"]
    for workers in (1, 2, 8):
        for end in (lambda running: running[0], lambda running: running[-1]):
            assert order(Schedule(PLAN, EMPTY, workers), end) == expected
    assert width(PLAN) == 2


def test_a_server_is_asked_by_one_step_at_a_time() -> None:
    sources = {
        name: ms.api(url, records="r", schema={"id": "int64"})
        for name, url in (("a", "http://one/a"), ("b", "http://one/b"), ("c", "http://two/c"))
    }
    graph = Graph({n: Definition(n, s, (), n, n) for n, s in sources.items()}, Dag(dict.fromkeys(sources, ())))
    schedule = Schedule(Plan("main", tuple(step(f"collect {name}") for name in sources)), graph, 3)
    first, second = schedule.start(), schedule.start()
    assert first is not None and second is not None and schedule.start() is None
    assert [first.node, second.node] == ["a", "c"]
    schedule.end(second)
    assert schedule.start() is None
    schedule.end(first)
    third = schedule.start()
    assert third is not None and third.node == "b"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    state = SqlState(f"sqlite:///{tmp_path / 'state.db'}")
    release = Release(id="", branch="main", run="")
    return OnlyProbes("run-1", "main", EMPTY, release, DuckdbEngine(), IcebergLake(tmp_path / "lake"), state)


def stored(step: Step, context: Context) -> StepResult:
    target = context.lake.target(step.node, {"x": "int64"})
    with context.engine.session({}) as session:
        files = session.write("SELECT i AS x FROM range(1000) AS t(i)", target)
    snapshot = context.lake.commit(step.node, target, files, base=None, run=context.run, change=ReplaceAll())
    context.report("stored")
    return StepResult(tables={step.node: snapshot}, rows_in=1000, published=1000)


def test_independent_steps_meet(context: Context) -> None:
    both = threading.Barrier(2)

    def meet(step: Step, context: Context) -> StepResult:
        if step.node in ("b", "c"):
            both.wait(timeout=30)
        return stored(step, context)

    heard: list[tuple[str, str, bool]] = []

    def listen(event: Event) -> None:
        heard.append((event.kind, event.step.key, threading.current_thread() is threading.main_thread()))

    executors = dict.fromkeys(("build", "materialise", "promote"), meet)
    record = Runner(executors, workers=2).run(PLAN, context, listen)
    assert [f"{each.kind} {each.node}" for each in record.steps] == [each.key for each in PLAN.steps]
    assert set(context.release.tables) == {"a", "b", "c", "d", "v", "m"} and record.status == "published"
    assert all(in_main for *_, in_main in heard)
    assert {key for kind, key, _ in heard if kind == "progress"} == {each.key for each in PLAN.steps}


def test_many_commits_at_once_are_all_there(context: Context) -> None:
    plan = Plan("main", tuple(step(f"build t{n}") for n in range(24)))
    Runner({"build": stored}, workers=8).run(plan, context)
    release = context.state.get(Release, context.state.head("main") or "")
    assert release is not None and len(release.tables) == 24
    fresh = IcebergLake(context.lake.root)  # type: ignore[attr-defined]
    assert {fresh.scan(snapshot).rows for snapshot in release.tables.values()} == {1000}


def test_a_failure_lets_others_finish_and_stops_what_depends_on_it(context: Context) -> None:
    failed = threading.Event()

    def work(step: Step, context: Context) -> StepResult:
        if step.node == "b":
            failed.set()
            raise CheckFailed("b is wrong")
        if step.node == "c":
            assert failed.wait(30)
        return stored(step, context)

    executors = dict.fromkeys(("build", "materialise", "promote"), work)
    with pytest.raises(RunFailed, match="build b failed; nothing was published") as error:
        Runner(executors, workers=2).run(PLAN, context)
    statuses = {each.node: (each.status, each.message) for each in error.value.run.steps}
    assert statuses["c"][0] == "done"
    assert statuses["d"] == ("skipped", "build b failed") and statuses["m"] == ("skipped", "build b failed")
    assert statuses["v"] == ("skipped", "the run will not be published")
    assert context.state.head("main") is None


def test_an_error_that_is_not_expected_ends_the_run(context: Context) -> None:
    def work(step: Step, context: Context) -> StepResult:
        if step.node == "b":
            raise ZeroDivisionError
        return stored(step, context)

    with pytest.raises(ZeroDivisionError):
        Runner(dict.fromkeys(("build", "materialise", "promote"), work), workers=2).run(PLAN, context)
    record = context.state.get(RunRecord, "run-1")
    assert record is not None and record.status == "failed" and context.state.head("main") is None
