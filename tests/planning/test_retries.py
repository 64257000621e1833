"""A step is tried again after an error that may pass, and after no other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import CheckFailed, MainstemError, RunFailed, SettingsError, SourceError, SourceUnreachable
from mainstem.graph.dag import Dag
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.records import Release
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step
from mainstem.planning.retries import Retries, tried
from mainstem.sources.http import refused
from mainstem.state.sql import SqlState

STEP = Step("collect", "flights", "asked for")
DONE = StepResult(rows_in=1)


def failing(*problems: MainstemError) -> Callable[[Step, Context], StepResult]:
    left = list(problems)

    def work(step: Step, context: Context) -> StepResult:
        if left:
            raise left.pop(0)
        return DONE

    return work


def context(own: int | None = None, said: Callable[[str], None] = lambda _: None) -> Context:
    node = ms.files("flights.csv", known="always", retries=own)
    graph = Graph({"flights": Definition("flights", node, (), "f", "f")}, Dag({"flights": ()}))
    none = Release(id="", branch="main", run="")
    return Context("run-1", "main", graph, none, DuckdbEngine(), None, None, report=said)  # type: ignore[arg-type]


def away() -> SourceUnreachable:
    return SourceUnreachable("the source cannot be reached")


def test_what_may_pass_is_tried_again_after_longer_and_longer_waits() -> None:
    waited, said = list[float](), list[str]()
    retries = Retries(3, wait=1.5)
    found = tried(failing(away(), away()), STEP, context(said=said.append), retries, waited.append)
    assert found == (DONE, 3) and waited == [1.5, 3.0]
    assert said[0] == "attempt 1 of 4 failed: the source cannot be reached; again in 1.5 s"


def test_the_last_error_is_kept() -> None:
    last = away()
    assert tried(failing(away(), last), STEP, context(), Retries(1), lambda _: None) == (last, 2)


@pytest.mark.parametrize("problem", [CheckFailed("wrong"), SourceError("a row cannot be read"), refused(404, "x")])
def test_what_does_not_pass_is_not_tried_again(problem: MainstemError) -> None:
    assert tried(failing(problem), STEP, context(), Retries(5), lambda _: None) == (problem, 1)


def test_a_node_says_how_often() -> None:
    assert tried(failing(away(), away()), STEP, context(own=2), Retries(0), lambda _: None).attempts == 3
    assert tried(failing(away()), STEP, context(own=0), Retries(9), lambda _: None).attempts == 1


def test_a_busy_server_and_a_locked_state_may_answer_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(503, "x").transient and not refused(401, "x").transient
    monkeypatch.setattr("mainstem.state.sql._BUSY", 10)
    path = tmp_path / "state.db"
    state = SqlState(f"sqlite:///{path}")
    state.save(Release(id="r", branch="main", run=""))
    with sqlite3.connect(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(MainstemError) as locked:
            state.save(Release(id="s", branch="main", run=""))
    assert locked.value.transient


def test_a_run_shows_the_attempts(tmp_path: Path) -> None:
    def written(**run: object) -> ms.Project:
        lines = "\n".join(f"{name} = {value!r}" for name, value in run.items()).replace("'", '"')
        (tmp_path / "mainstem.toml").write_text(f'[project]\nname = "r"\nmodules = ["retried"]\n[run]\n{lines}\n')
        return ms.load(tmp_path)

    (tmp_path / "retried.py").write_text(
        "import mainstem as ms\n"
        'gone = ms.api("http://127.0.0.1:9/x", records="r", schema={"id": "int64"}, limits=ms.limits(seconds=1))\n'
    )
    (tmp_path / "schemas.lock").write_text('[gone]\nid = "int64"\n')
    with written(retries=1, wait="10ms") as project, pytest.raises(RunFailed) as error:
        project.run()
    assert [step.attempts for step in error.value.run.steps] == [2]
    for wrong in ({"retries": -1}, {"workers": 0}, {"wait": "soon"}):
        with written(**wrong) as project, pytest.raises(SettingsError):
            project.run()
