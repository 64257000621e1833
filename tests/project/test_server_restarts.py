"""PostgreSQL, which has the catalog and the state of a lake at a store, restarts during a run."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import mainstem as ms
from mainstem.errors import StorageError
from postgresql import restartable as restartable_of_tests
from s3 import s3_server
from stored_project import SECRET, databases, machine

restartable = restartable_of_tests


@pytest.fixture(scope="module")
def server():
    with s3_server() as found:
        found.system.create_dir("lakes")
        yield found


class Restarts:
    """Stops a server when a run reports one of these events, and starts it a moment later."""

    def __init__(self, postgresql, events: set[int], away: float) -> None:
        self._postgresql, self._events, self._away = postgresql, events, away
        self._seen, self._threads, self._back = 0, list[threading.Thread](), threading.Event()

    def __call__(self, event: object) -> None:
        self._seen += 1
        if self._seen in self._events:
            self._end()
            self._postgresql.stop("fast")
            self._threads.append(threading.Thread(target=self._start))
            self._threads[-1].start()

    def _start(self) -> None:
        self._back.wait(self._away)
        self._postgresql.start()

    def _end(self) -> None:
        for thread in self._threads:
            thread.join()

    def back(self) -> None:
        """Start the server now."""
        self._back.set()
        self._end()

    def end(self) -> int:
        """Wait until the server is up. Return how often it was restarted."""
        self._end()
        return len(self._threads)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("events", [{1, 6}, {12}])
def test_a_run_goes_on_when_its_server_has_restarted(server, restartable, tmp_path: Path, monkeypatch, events):
    monkeypatch.setenv("LAKE_SECRET", SECRET)
    one = machine(tmp_path / "one", server.storage, databases(restartable.url), f"restarts-{min(events)}")
    one.add("all", range(300))
    restarts = Restarts(restartable, events, away=1.5)
    with ms.load(one.root) as project:
        outcome = project.run(report=restarts)
        assert restarts.end() == len(events)
        assert outcome.status == "published"
        assert project.table("sales").to_pyarrow().num_rows == 300
        one.add("more", range(300, 400))
        assert project.run().status == "published"
        assert project.table("sales").to_pyarrow().num_rows == 400


def test_a_run_whose_server_stays_away_fails_clearly_and_the_next_one_is_right(
    server, restartable, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("LAKE_SECRET", SECRET)
    monkeypatch.setattr("mainstem.state.patience.SECONDS", 2.0)
    one = machine(tmp_path / "one", server.storage, databases(restartable.url), "away")
    one.add("all", range(300))
    restarts = Restarts(restartable, {12}, away=90)
    with ms.load(one.root) as project:
        try:
            outcome = project.run(report=restarts)
            said = str([step.error for step in outcome.steps])
        except StorageError as problem:
            said = str(problem)
        assert "cannot be" in said and SECRET not in said
        restarts.back()
        assert project.run().status == "published"
        assert project.table("shops").to_pyarrow().num_rows == 5
