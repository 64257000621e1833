"""Notifications of failed runs and monitors, at a real HTTP receiver by Apprise's `json://`."""

from __future__ import annotations

import http.server
import importlib.util
import json
import logging
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

import mainstem as ms
from mainstem.errors import RunFailed, SettingsError, StorageError, UnknownName
from mainstem.monitoring.verdicts import Verdict
from mainstem.nodes.records import new_id, now

BODY = """
    import mainstem as ms

    rides = ms.files("rides.csv", key="id")

    @ms.table(key="id", checks=[ms.between("minutes", 0, 100)])
    def trips(rides):
        return rides

    late = ms.model(trips, target="minutes", features=["hour"], candidates=["linear"], folds=2)
    desk = ms.endpoint(late, monitors=[ms.performance(3)])
"""
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise reads it
SECRET = "s3cr3t-t0k3n"


@pytest.fixture(autouse=True)
def apprise(missing: Callable[[str], NoReturn]) -> None:
    if importlib.util.find_spec("apprise") is None:
        missing("apprise is not installed: pip install 'mainstem[notify]'")


class Receiver:
    """An HTTP server that keeps the messages it got. With `broken` it answers 500."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.broken = self.slow = False

    def start(self) -> tuple[Any, threading.Thread]:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not receiver.broken:
                    receiver.got.append({"path": self.path, **json.loads(body)})
                self.send_response(500 if receiver.broken else 200)
                if receiver.slow:
                    self.send_header("Content-Length", "1000000")
                self.end_headers()
                while receiver.slow:
                    self.wfile.write(b" ")
                    time.sleep(0.1)

            def log_message(self, *_arguments: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        return server, thread

    def taken(self) -> list[str]:
        """The lines of the messages since the last call."""
        lines = [line for each in self.got for line in each["message"].splitlines()]
        self.got.clear()
        return lines


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    found = Receiver()
    server, thread = found.start()
    yield found, f"json://127.0.0.1:{server.server_port}/{SECRET}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def root(tmp_path: Path, receiver: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NOTIFY_URL", receiver[1])
    (tmp_path / "mainstem.toml").write_text(
        '[project]\nname = "taxi"\nmodules = ["taxi"]\n[notify]\nurls = ["${env:NOTIFY_URL}"]\n'
    )
    (tmp_path / "taxi.py").write_text(textwrap.dedent(BODY))
    write(tmp_path)
    return tmp_path


def write(root: Path, worst: float = 60) -> None:
    rows = [f"r{n},{n % 24},{worst if n == 3 else n % 24 + n % 5}" for n in range(120)]
    (root / "rides.csv").write_text("\n".join(["id,hour,minutes", *rows]) + "\n")


@contextmanager
def opened(root: Path, branch: str = "main") -> Iterator[Any]:
    sys.modules.pop("taxi", None)
    with ms.load(root, branch=branch) as project:
        yield project


def judge(project: Any, judgement: Any, text: str) -> None:
    """Save a judgement as the monitor of a run does."""
    at = (now(), now())
    verdict = Verdict(new_id("vdt"), "desk", "performance", judgement, text, at, 900, 900, "late-1", "mae")
    project.adapters.state.save(verdict)


def test_a_failed_run_is_told_once_and_so_is_its_end(root: Path, receiver: Any) -> None:
    got, _ = receiver
    with opened(root) as project:
        project.run()
        assert got.taken() == [], "nothing failed yet"
        for _again in range(2):
            write(root, worst=500 + _again)
            with pytest.raises(RunFailed):
                project.run()
        assert got.got[0]["title"] == "taxi: 1 failing" and got.got[0]["type"] == "failure"
        (line,) = got.taken()
        assert line.startswith("failing: run-") and "between(minutes" in line
        write(root)
        project.run()
        assert got.got[0]["title"] == "taxi: fine again" and got.got[0]["type"] == "success"
        assert got.taken() == ["fine again: the run published again"]
        project.run()
        with pytest.raises(UnknownName):
            project.run("nonsense")
        assert got.taken() == []


def test_a_run_that_fails_before_its_first_step_is_told(
    root: Path, receiver: Any, free_port: Callable[[], int]
) -> None:
    got, _ = receiver
    settings = root / "mainstem.toml"
    settings.write_text(f'{settings.read_text()}[profile.default]\nonline = "redis://127.0.0.1:{free_port()}"\n')
    with opened(root) as project:
        for _again in range(2):
            with pytest.raises(StorageError, match="cannot be reached"):
                project.run()
        assert got.taken() == ["failing: the run: the online store cannot be reached"]


def test_a_monitor_that_fails_is_told_when_it_changes(root: Path, receiver: Any) -> None:
    got, _ = receiver
    with opened(root) as project:
        project.run()
        project.promote("late")
        judge(project, "fine", "mae 2")
        project.run()
        assert got.taken() == []
        judge(project, "failing", "mae 9 above the ceiling of 3")
        for _run in range(2):
            project.run()
        assert got.taken() == ["failing: desk: mae 9 above the ceiling of 3 (late-1)"]
        judge(project, "not enough rows", "mae not judged")
        project.run()
        assert got.taken() == [], "the alarm before it still holds"
        judge(project, "fine", "mae 2")
        project.run()
        assert got.taken() == ["fine again: desk: mae 2 (late-1)"]


def test_a_receiver_that_is_away_is_told_by_the_next_run(
    root: Path, receiver: Any, caplog: pytest.LogCaptureFixture
) -> None:
    got, url = receiver
    got.broken = True
    with opened(root) as project:
        project.run()
        project.promote("late")
        judge(project, "failing", f"mae 9, and {SECRET}-{url}")
        with caplog.at_level(logging.WARNING):
            assert project.run().status == "unchanged"
        told = [record.getMessage() for record in caplog.records if record.name.startswith("mainstem")]
        assert told == ["notification 1 of [notify] urls could not be sent; the next run sends it again"]
        got.broken = False
        project.run()
        (line,) = got.taken()
        assert line.startswith("failing: desk: mae 9") and url not in line, "a URL is a secret"


def test_a_receiver_that_answers_without_end_does_not_hold_a_run(
    root: Path, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sends a byte now and then, so that no time limit of the socket passes."""
    got, _ = receiver
    got.slow = True
    monkeypatch.setattr("mainstem.project.notifying.LONGEST", 1.0)
    with opened(root) as project:
        project.run()
        project.promote("late")
        judge(project, "failing", "mae 9")
        began = time.monotonic()
        project.run()
        assert 1 <= time.monotonic() - began < 20
        got.slow = False
        got.taken()
        project.run()
        assert got.taken() == ["failing: desk: mae 9 (late-1)"]


def test_other_branches_tell_nothing(root: Path, receiver: Any) -> None:
    got, _ = receiver
    with opened(root) as project:
        project.run()
        project.create_branch("dev")
    write(root, worst=500)
    with opened(root, "dev") as project, pytest.raises(RunFailed):
        project.run()
    assert got.taken() == []


def test_a_url_that_apprise_does_not_know_is_refused_before_the_run(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_URL", f"nothing-like-it://{SECRET}")
    with opened(root) as project, pytest.raises(SettingsError, match="does not know the URL") as caught:
        project.run()
    assert SECRET not in str(caught.value) and "number 1" in str(caught.value)
