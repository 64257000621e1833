"""The project that `mainstem init flights` writes passes its own unit tests."""

import subprocess
import sys
from pathlib import Path

from mainstem.cli.app import run


def test_the_projects_own_tests_pass(tmp_path: Path) -> None:
    assert run(["init", "flights", str(tmp_path / "flights")]) == 0
    command = [sys.executable, "-m", "mainstem", "test", "-C", str(tmp_path / "flights"), "--", "-q"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "3 passed" in ended.stdout


def test_a_failing_test_fails_the_command(tmp_path: Path) -> None:
    assert run(["init", "flights", str(tmp_path / "flights")]) == 0
    (tmp_path / "flights" / "tests" / "test_flights.py").write_text("def test_it(): assert False")
    assert run(["test", "-C", str(tmp_path / "flights")]) == 1


def test_a_project_without_tests_says_so(tmp_path: Path) -> None:
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "empty"\nmodules = []\n')
    assert run(["test", "-C", str(tmp_path)]) == 2
