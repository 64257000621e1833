"""A run publishes all of its steps or none, and says what became of each."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import CheckFailed, ConflictError, RunFailed, StorageError
from mainstem.graph.dag import Dag
from mainstem.lake.iceberg import IcebergLake
from mainstem.nodes.definition import Graph
from mainstem.nodes.findings import Finding
from mainstem.nodes.records import ModelVersion, Release, RunRecord
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Plan, Step
from mainstem.planning.process import here, is_gone
from mainstem.planning.runner import Event, Runner
from mainstem.ports import Record, ReplaceAll, State
from mainstem.state.sql import SqlState

Work = Callable[[Step, Context], StepResult]


class OnlyProbes(Context):
    """Steps here are not nodes of a graph: nothing of them is remembered but what they return."""

    def read_by(self, node: str) -> dict[str, int]:
        return {}


@pytest.fixture
def state(tmp_path: Path) -> SqlState:
    return SqlState(f"sqlite:///{tmp_path / 'state.db'}")


@pytest.fixture
def lake(tmp_path: Path) -> IcebergLake:
    return IcebergLake(tmp_path / "lake")


def context(state: State, lake: IcebergLake, run: str = "run-1", release: Release | None = None) -> Context:
    start = release or Release(id="", branch="main", run="")
    return OnlyProbes(run, "main", Graph({}, Dag({})), start, DuckdbEngine(), lake, state)


def write(rows: int) -> Work:
    """Store `rows` rows under the step's node."""

    def work(step: Step, context: Context) -> StepResult:
        target = context.lake.target(step.node, {"x": "int64"})
        with context.engine.session({}) as session:
            files = session.write(f"SELECT i AS x FROM range({rows}) AS t(i)", target)
        base = context.release.tables.get(step.node)
        snapshot = context.lake.commit(step.node, target, files, base=base, run=context.run, change=ReplaceAll())
        return StepResult(tables={step.node: snapshot}, rows_in=rows, published=rows)

    return work


def fail(step: Step, context: Context) -> StepResult:
    raise CheckFailed(f"{step.node} is wrong", where=step.node)


def interrupt(step: Step, context: Context) -> StepResult:
    raise KeyboardInterrupt


def runner(**by_node: Work) -> Runner:
    """Steps named by node, all of kind `promote` so that no definition is looked up, each done as given."""

    def executor(step: Step, context: Context) -> StepResult:
        return by_node[step.node](step, context)

    return Runner({"promote": executor})


def version(id: str) -> Work:
    """Make a model version."""
    made = ModelVersion(id, "late", 1, "run-1", "f", "models/late/1", "binary", "linear", "ap", ())
    return lambda step, context: StepResult(records=(made,))


def steps(*nodes: str, **needs: str) -> Plan:
    def step(node: str) -> Step:
        return Step("promote", node, "asked for", (f"promote {needs[node]}",) if node in needs else (), effect="none")

    return Plan("main", tuple(map(step, nodes)))


def test_a_run_publishes_everything_at_once(state: SqlState, lake: IcebergLake) -> None:
    heard: list[Event] = []
    record = runner(a=write(3), b=write(5)).run(steps("a", "b"), context(state, lake), heard.append)
    head = state.get(Release, state.head("main") or "")
    assert head is not None and record.release == head.id
    assert {name: snapshot.rows for name, snapshot in head.tables.items()} == {"a": 3, "b": 5}
    assert [event.kind for event in heard] == ["started", "ended", "started", "ended"]
    assert state.get(RunRecord, "run-1") == record and record.status == "published"


def test_a_failed_step_keeps_everything_unpublished(state: SqlState, lake: IcebergLake) -> None:
    runner(a=write(1)).run(steps("a"), context(state, lake))
    before = state.head("main")
    release = state.get(Release, before or "")
    work = runner(a=write(9), bad=fail, after=write(1))
    with pytest.raises(RunFailed, match="nothing was published") as error:
        work.run(steps("a", "bad", "after", after="bad"), context(state, lake, "run-2", release))
    assert state.head("main") == before
    assert [step.status for step in error.value.run.steps] == ["done", "failed", "skipped"]
    assert error.value.run.steps[2].message == "promote bad failed"
    assert lake.scan(release.tables["a"]).rows == 1 if release else False


def test_an_interrupt_is_recorded_and_goes_on(state: SqlState, lake: IcebergLake) -> None:
    with pytest.raises(KeyboardInterrupt):
        runner(a=write(1), stop=interrupt).run(steps("a", "stop"), context(state, lake))
    record = state.get(RunRecord, "run-1")
    assert record is not None and record.status == "interrupted"
    assert state.head("main") is None
    assert runner(a=write(1)).run(steps("a"), context(state, lake, "run-2")).status == "published"


def test_an_interrupt_that_comes_too_late_does_not_unsay_what_is_published(
    state: SqlState, lake: IcebergLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def published(branch: str, to: Record, *records: Record, expect: str | None) -> None:
        SqlState.publish(state, branch, to, *records, expect=expect)
        raise KeyboardInterrupt

    monkeypatch.setattr(state, "publish", published)
    record = runner(a=write(1)).run(steps("a"), context(state, lake))
    assert record.status == "published" and record.release == state.head("main")


def test_what_keeps_outside_readers_behind_does_not_fail_the_run(
    state: SqlState, lake: IcebergLake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise StorageError.full("the lake", "no space")

    monkeypatch.setattr(lake, "offer", full)
    record = runner(a=write(1)).run(steps("a"), context(state, lake))
    assert record.status == "published" and record.release == state.head("main")
    assert "the disk is full" in caplog.text


def test_a_process_that_was_killed_is_told_from_one_that_goes_on() -> None:
    assert not is_gone(here())
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    host = here().rpartition(":")[0]
    assert is_gone(f"{host}:{ended.pid}")
    assert not is_gone(f"elsewhere:{ended.pid}") and not is_gone("")


def test_the_slower_of_two_runs_conflicts(state: SqlState, lake: IcebergLake) -> None:
    slow = context(state, lake, "run-slow")

    def overtaken(step: Step, inner: Context) -> StepResult:
        runner(b=write(2)).run(steps("b"), context(state, lake, "run-fast"))
        return write(1)(step, inner)

    with pytest.raises(ConflictError):
        runner(v=version("v-slow"), a=overtaken).run(steps("v", "a"), slow)
    assert state.find(ModelVersion) == [] and [r.branch for r in state.find(Release)] == ["main"]
    head = state.get(Release, state.head("main") or "")
    assert head is not None and set(head.tables) == {"b"}
    slower = state.get(RunRecord, "run-slow")
    assert slower is not None and slower.status == "failed"


def test_records_are_published_with_the_release_and_seen_by_later_steps(state: SqlState, lake: IcebergLake) -> None:
    seen: list[object] = []

    def look(step: Step, context: Context) -> StepResult:
        seen.extend([context.records.get(ModelVersion, "v1"), *context.records.find(ModelVersion, model="late")])
        seen.extend([*context.records.find(ModelVersion, model="other"), state.get(ModelVersion, "v1")])
        return StepResult()

    runner(v=version("v1"), look=look).run(steps("v", "look"), context(state, lake))
    made = state.get(ModelVersion, "v1")
    assert made is not None and seen == [made, made, None]


@pytest.mark.parametrize("ends", ["fails", "is interrupted", "cannot publish"])
def test_a_run_that_does_not_publish_leaves_no_record(
    state: SqlState, lake: IcebergLake, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    def full(*_: object) -> None:
        raise StorageError.full("the state", "no space")

    last = {"fails": fail, "is interrupted": interrupt, "cannot publish": write(1)}[ends]
    if ends == "cannot publish":
        monkeypatch.setattr("mainstem.state.sql._save", full)
    with pytest.raises((RunFailed, KeyboardInterrupt, StorageError)), monkeypatch.context() as patched:
        if ends == "cannot publish":
            patched.setattr(state, "save", lambda *_: None)
        runner(v=version("v1"), last=last).run(steps("v", "last"), context(state, lake))
    assert state.find(ModelVersion) == [] and state.find(Release) == [] and state.head("main") is None


def test_a_bug_is_not_swallowed(state: SqlState, lake: IcebergLake) -> None:
    def bug(step: Step, context: Context) -> StepResult:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        runner(a=bug).run(steps("a"), context(state, lake))
    record = state.get(RunRecord, "run-1")
    assert record is not None and record.status == "failed"


def opens(count: int) -> Work:
    """Open `count` findings."""

    def work(step: Step, context: Context) -> StepResult:
        first = context.state.reserve("finding", count)
        return StepResult(records=tuple(finding(n, context.branch) for n in range(first, first + count)))

    return work


def finding(number: int, branch: str) -> Finding:
    window = (datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 1, 2, tzinfo=UTC))
    return Finding(f"F{number}", "drift", "feed", "delay", "", 9, "live", "v", window, (), "drift", branch=branch)


RACE = """
    import os, signal, sys, time
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from test_runner import *
    root, branch, end = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    def waits(step, context):
        while not (root / "go").exists():
            time.sleep(0.005)
        return StepResult()
    def dies(step, context):
        (root / "dying").touch()
        if end == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return StepResult()
    state = SqlState(f"sqlite:///{{root / 'state.db'}}")
    lake = IcebergLake(root / "lake")
    for n in range(5):
        held = state.get(Release, state.head(branch) or "") or Release("", branch, "")
        inner = OnlyProbes(f"{{branch}}-{{n}}", branch, Graph({{}}, Dag({{}})), held, None, lake, state)
        runner(a=waits, b=opens(3), c=dies).run(steps("a", "b", "c"), inner)
"""


def racing(root: Path, branch: str, end: str) -> subprocess.Popen[str]:
    """A process that publishes five runs on a branch, each with three findings, once the file `go` is there."""
    script = textwrap.dedent(RACE.format(tests=str(Path(__file__).parent)))
    command = [sys.executable, "-c", script, str(root), branch, end]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_runs_on_two_branches_never_share_an_id(state: SqlState, tmp_path: Path) -> None:
    processes = [racing(tmp_path, branch, "published") for branch in ("main", "dev")]
    (tmp_path / "go").touch()
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    found = state.find(Finding)
    assert len(found) == 30 == len({f.id for f in found})
    told = {
        branch: [id for run in state.find(RunRecord, branch=branch) for id in run.findings]
        for branch in state.branches()
    }
    assert told == {branch: [f.id for f in found if f.branch == branch] for branch in ("dev", "main")}


def test_a_run_that_is_killed_leaves_nothing(state: SqlState, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    process = racing(tmp_path, "main", "killed")
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL and (tmp_path / "dying").exists()
    assert state.find(Finding) == [] and state.find(Release) == [] and state.branches() == {}
    assert [run.status for run in state.find(RunRecord)] == ["running"]
