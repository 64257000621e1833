"""The command line: what it parses, which one call it makes, and how it exits."""

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from mainstem.cli.app import app, run
from mainstem.errors import CheckFailed, NotFound, RunFailed, UnknownName
from mainstem.nodes.erasures import Erasure
from mainstem.nodes.records import CheckResult, Release, RunRecord
from mainstem.planning.plan import Plan
from mainstem.project.backup import Backup
from mainstem.project.compaction import Compacted
from mainstem.project.garbage import Garbage
from mainstem.project.project import Project, load

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


class Double:
    """Stands for a project: records the one call, answers with small records.

    A call that `Project` would not take fails: of a method that it lacks, or with other arguments.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.problem: BaseException | None = None
        self.remedies = ()
        self.answers: dict[str, Any] = {
            "plan": Plan("main", ()),
            "run": RunRecord("run-1", "main", "unchanged"),
            "materialise": RunRecord("run-2", "main", "unchanged"),
            "check": {},
            "promote": Release("rel-1", "main", "run-1"),
            "demote": Release("rel-1", "main", "run-1"),
            "rollback": Release("rel-0", "main", "run-0"),
            "releases": [],
            "query": pa.table({"n": [1]}),
            "findings": [],
            "parity": [SimpleNamespace(ok=True, lines=lambda: ["1,000 reads: 0 differ"])],
            "watch_parity": [],
            "create_key": "ms_secret",
            "keys": [],
            "gc": Garbage(3, 4_096, 2, 0),
            "drop": ("legs",),
            "erase": Erasure("erasure-1", ("id",), {"main: legs": 2}, 1, 1, ("rel-0",), left=("backups",)),
            "compact": (Compacted("legs", 3, 1, 2**20),),
            "backup": Backup(NOON, {"main": "rel-1"}, {"state.db": ("00", 4096)}),
            "restore": Backup(NOON, {"main": "rel-1"}, {"state.db": ("00", 4096)}),
        }

    def __enter__(self) -> "Double":
        return self

    def __exit__(self, *_: object) -> None: ...

    def __getattr__(self, name: str) -> Any:
        method = inspect.signature(load if name == "opened" else getattr(Project, name))

        def call(*args: Any, **kwargs: Any) -> Any:
            method.bind(*([] if name == "opened" else [self]), *args, **kwargs)
            self.calls.append((name, *args, *(v for k, v in kwargs.items() if k not in ("report", "started", "pages"))))
            if self.problem and name != "opened":
                raise self.problem
            return self.answers.get(name)

        return call


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    double = Double()
    monkeypatch.setattr(
        "mainstem.project.project.load", lambda *args, **kwargs: (double.opened(*args, **kwargs), double)[1]
    )
    return double


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), prog_name="mainstem")


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["plan", "-s", "legs+"], ("plan", "legs+", False, None, None, True)),
        (["run"], ("run", None, False, None, None, False, None, None, None)),
        (["run", "--full-refresh", "--forward"], ("run", None, True, None, None, True, None, None, None)),
        (["materialise"], ("materialise", (), False)),
        (["materialise", "airport", "leg", "--rebuild"], ("materialise", ["airport", "leg"], True)),
        (["check", "-s", "legs"], ("check", "legs")),
        (["query", "select 1"], ("query", "select 1")),
        (["parity", "airport", "--sample", "9"], ("parity", "airport", 9)),
        (["parity", "airport", "--watch"], ("watch_parity", "airport", 1000, 5.0)),
        (["promote", "late"], ("promote", "late", None, False)),
        (["promote", "late", "--version", "late/1"], ("promote", "late", "late/1", False)),
        (["promote", "late", "--rollback"], ("demote", "late")),
        (["promote", "late", "--breaking"], ("promote", "late", None, True)),
        (["rollback"], ("rollback", None)),
        (["rollback", "rel-0"], ("rollback", "rel-0")),
        (["rollback", "--list"], ("releases",)),
        (["serve", "--port", "0"], ("serve", None, 0, 0, None)),
        (["serve"], ("serve", None, None, 0, None)),
        (["serve", "--workers", "2"], ("serve", None, None, 0, 2)),
        (["gc"], ("gc",)),
        (["erase", "id=4=2", "--also", "legs.other"], ("erase", "id", "4=2", ["legs.other"], True)),
        (["drop"], ("drop",)),
        (["drop", "legs"], ("drop", "legs")),
        (["erase", "id=42", "--yes"], ("erase", "id", "42", (), False)),
        (["compact", "legs", "quarantine.legs"], ("compact", "legs", "quarantine.legs")),
        (["backup", "/backups/monday"], ("backup", Path("/backups/monday"))),
        (["restore", "/backups/monday"], ("restore", Path("/backups/monday"))),
        (["finding", "list", "--state", "open"], ("findings", "open")),
        (["key", "create", "me", "--scope", "read", "--scope", "predict"], ("create_key", "me", ("read", "predict"))),
        (["key", "list"], ("keys",)),
        (["key", "revoke", "me"], ("revoke_key", "me")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_is_one_call(project: Double, arguments: list[str], call: tuple[Any, ...]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    assert project.calls[1] == call


def test_project_profile_and_branch_reach_the_project(project: Double) -> None:
    invoke("plan", "-C", "there", "--profile", "prod", "--branch", "dev")
    assert project.calls[0] == ("opened", Path("there"), "prod", "dev")


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (CheckFailed("bad"), 1),
        (RunFailed("bad"), 1),
        (NotFound("no such finding"), 2),
        (UnknownName("no node", where="the selection 'x'"), 2),
        (UnknownName("no column", where="legs (flights.py:3)"), 1),
        (PermissionError(13, "Permission denied", "schemas.lock"), 1),
        (OSError(28, "No space left on device", "schemas.lock"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_exit_codes_and_a_line(project: Double, problem: BaseException, code: int) -> None:
    project.problem = problem
    text, as_json = invoke("run"), invoke("run", "--json")
    assert text.exit_code == as_json.exit_code == code
    what = {
        KeyboardInterrupt: "interrupted: nothing was published",
        PermissionError: "a file cannot be read or written",
        OSError: "the disk is full",
    }.get(type(problem)) or str(problem.args[0])
    assert what in text.stderr and text.stdout == ""
    assert what in json.loads(as_json.stderr)["error"]["what"]


def test_a_failed_run_shows_its_record_and_the_error(project: Double) -> None:
    failure = RunFailed("build legs failed")
    failure.run = RunRecord("run-7", "main", "failed")
    project.problem = failure
    result = invoke("run", "--json")
    assert json.loads(result.stdout)["id"] == "run-7" and result.exit_code == 1


@pytest.mark.parametrize(("severity", "code"), [("error", 1), ("warn", 0), ("quarantine", 0)])
def test_violations_of_severity_error_fail_a_check(project: Double, severity: str, code: int) -> None:
    project.answers["check"] = {"legs": (CheckResult("unique(id)", severity, 2, 10),)}
    assert invoke("check").exit_code == code


@dataclass
class Reported:
    ok: bool


def test_parity_fails_where_anything_differs(project: Double) -> None:
    reports = [(False, "3 differ"), (True, "0 differ")]
    project.answers["parity"] = [SimpleNamespace(ok=ok, lines=lambda line=line: [line]) for ok, line in reports]
    result = invoke("parity")
    assert (result.exit_code, result.stdout) == (1, "3 differ\n0 differ\n")
    project.answers["parity"] = [Reported(False), Reported(True)]
    result = invoke("parity", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"ok": False, "reports": [{"ok": False}, {"ok": True}]}


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["run", "--nonsense"], ["show"], ["finding", "reject", "x"], ["key", "create", "me"]]
)
def test_wrong_usage_exits_with_2(project: Double, arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2 and "Usage:" in result.stderr


def commands() -> Iterator[tuple[list[str], Any]]:
    for name, command in get_command(app).commands.items():
        if hasattr(command, "commands"):
            yield from (([name, inner], leaf) for inner, leaf in command.commands.items())
        else:
            yield [name], command


@pytest.mark.parametrize(
    ("path", "command"), list(commands()), ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_every_help_has_an_example_that_the_command_accepts(path: list[str], command: Any) -> None:
    result = invoke(*path, "--help")
    assert result.exit_code == 0
    assert f"Example:  mainstem {' '.join(path)}" in " ".join(result.stdout.split("\n")).replace("  Example", "Example")
    assert any("--json" in parameter.opts for parameter in command.params) or path[0] in ("serve", "test")


def test_there_is_no_project_here(tmp_path: Path) -> None:
    result = invoke("plan", "-C", str(tmp_path))
    assert result.exit_code == 1
    assert "mainstem.toml not found" in result.stderr and "mainstem init" in result.stderr


def test_run_returns_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "-C", str(tmp_path)]) == 1
    assert run(["--help"]) == 0
    assert run(["nonsense"]) == 2


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_version_is_told_without_loading_anything() -> None:
    script = "import sys; sys.argv[1:] = ['--version']; from mainstem.__main__ import main; main(); print(*sys.modules)"
    version, modules = python(script).split("\n", 1)
    assert version == "mainstem 0.1.0"
    assert not {"typer", "rich", "msgspec", "ibis", "duckdb", "sqlalchemy"} & set(modules.split())


def test_the_command_line_loads_without_data_libraries() -> None:
    modules = set(python("import sys, mainstem.cli.app; print(*sys.modules)").split())
    assert not {"ibis", "duckdb", "pyarrow", "numpy", "sqlalchemy", "pyiceberg", "sklearn", "uvicorn"} & modules


@pytest.mark.parametrize("path", [[], ["finding"], ["key"]], ids=lambda path: " ".join(path) or "mainstem")
def test_the_help_of_commands_with_commands_has_an_example(path: list[str]) -> None:
    result = invoke(*path, "--help")
    assert result.exit_code == 0 and f"Example:  mainstem {' '.join(path)}".rstrip() in result.stdout


def test_the_double_takes_only_what_a_project_takes() -> None:
    with pytest.raises(AttributeError, match="rin"):
        Double().rin()
    with pytest.raises(TypeError, match="slect"):
        Double().run(slect="legs")
