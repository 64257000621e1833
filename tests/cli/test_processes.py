"""What the demo starts, waits for and ends: real processes on loopback."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstem.cli.demo import Demo
from mainstem.cli.processes import Background, call, free_port, mainstem, post, python, request
from mainstem.errors import RunFailed, SettingsError


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Background]:
    (tmp_path / "here").write_text("yes")
    port = free_port(0)
    command = python("-m", "http.server", str(port), "--bind", "127.0.0.1")
    started = Background(command, tmp_path, {}, f"http://127.0.0.1:{port}", "/here", tmp_path / "log")
    yield started
    started.stop()


def test_a_server_is_ready_when_it_answers_and_gone_when_stopped(server: Background) -> None:
    assert request("GET", f"{server.url}/here") == (200, b"yes")
    server.stop()
    assert server.process.returncode is not None
    with pytest.raises(OSError):
        request("GET", f"{server.url}/here")


def test_a_refused_request_says_so(server: Background) -> None:
    with pytest.raises(RunFailed, match="answered with 501"):
        post(f"{server.url}/predict", {})


def test_a_server_that_ends_shows_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as failure:
        Background(python("-c", "print('no port'); exit(3)"), tmp_path, {}, "http://127.0.0.1:9", "/", tmp_path / "log")
    assert failure.value.got == "no port"


def test_a_command_gives_its_output_or_an_error_with_what_it_said(tmp_path: Path) -> None:
    assert call(mainstem("--version"), tmp_path, {}, captured=True) == "mainstem 0.1.0\n"
    with pytest.raises(RunFailed) as failure:
        call(mainstem("plan"), tmp_path, {}, captured=True)
    assert failure.value.where == "mainstem plan"
    assert "mainstem.toml not found" in str(failure.value.got)


def test_a_command_sees_the_environment_given(tmp_path: Path) -> None:
    code = "import os; print(os.environ['WORLD_URL'])"
    assert call(python("-c", code), tmp_path, {"WORLD_URL": "http://x"}, captured=True) == "http://x\n"


def test_a_taken_port_is_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = free_port(port)
    assert other != port
    assert free_port(other) == other


def test_the_demo_replaces_nothing_but_an_earlier_demo(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SettingsError, match="not an earlier demo"):
        Demo(tmp_path, quiet=True).play()
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_this_python_runs_the_commands() -> None:
    assert mainstem("run")[0] == sys.executable
