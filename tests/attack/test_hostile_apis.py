"""Hostile web servers and broken databases as sources, given canaries: each is a clear error, and no exit shows one."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

import canaries
from attack import hostile_apis
from attack.hostile_apis import CANARIES, FRAGMENTS, GOOD, OTHERS, SETTINGS
from command_line import Ended, Project, World
from hostile_http import Hostile, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

PER_SOURCE = 5.0
"""Seconds that a source may take, with limits of one second, on a machine that does other work."""


@dataclass
class Attacked:
    """The project after its sources were collected, and all that was said."""

    project: Project
    home: Hostile
    elsewhere: Hostile
    names: list[str]
    seconds: float
    collected: Ended
    said: dict[str, str] = field(default_factory=dict)

    def say(self, *arguments: str) -> Ended:
        ended = self.project.mainstem(*arguments)
        self.said[" ".join(arguments)] = ended.out + ended.err
        return ended


@pytest.fixture(scope="module")
def attacked(one_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    root = tmp_path_factory.mktemp("hostile") / "project"
    root.mkdir()
    with serving() as home, serving() as elsewhere:
        project = Project(root, one_world)
        project.env |= {**CANARIES, "HOME_URL": home.url}
        (root / "mainstem.toml").write_text(SETTINGS)
        (root / "numbers.csv").write_text("n\n1\n2\n")
        (root / "sources.py").write_text(GOOD)
        project.goes_on()
        sources = hostile_apis.answers(home, elsewhere)
        names = hostile_apis.write(root, sources)
        project.write("sources.py", GOOD + "".join(sources.values()) + OTHERS)
        began = time.monotonic()
        process = project.start("run", "--json")
        out, err = process.communicate(timeout=900)
        seconds = time.monotonic() - began
        yield Attacked(project, home, elsewhere, names, seconds, Ended(process.returncode, out, err))


def test_each_is_a_clear_error_in_time(attacked: Attacked, tally: Any) -> None:
    assert attacked.collected.code == 1
    assert "Traceback" not in attacked.collected.out + attacked.collected.err
    errors = hostile_apis.step_errors(attacked.collected.out)
    assert sorted(errors) == sorted(attacked.names)
    for name, error in errors.items():
        assert f"{name} = ms." in error, error
    for _ in errors:
        tally("clear error")
    assert attacked.seconds < PER_SOURCE * len(errors)
    ended = attacked.project.mainstem("query", "select count(*) as n from numbers", "--json")
    assert ended.code == 0 and '"n": 2' in ended.out, "the last release is readable"


def test_no_credential_left_its_origin(attacked: Attacked, tally: Any) -> None:
    assert attacked.elsewhere.seen != []
    assert canaries.leaks(attacked.elsewhere.said, CANARIES.values(), FRAGMENTS) == []
    for _ in attacked.elsewhere.seen:
        tally("request to another origin, without credentials")
    assert "Bearer" in attacked.home.said, "the declared origin got them"


def test_no_exit_shows_a_canary(attacked: Attacked, tally: Any, tmp_path: Path) -> None:
    attacked.said["run --json"] = attacked.collected.out + attacked.collected.err
    for arguments in (
        ["plan"],
        ["plan", "--json"],
        ["run"],
        ["status"],
        ["status", "--json"],
        ["check"],
        ["check", "--json"],
        ["show", attacked.names[0]],
        *(["show", name, "--json"] for name in attacked.names[-9:]),
        ["query", "select * from nothing"],
    ):
        attacked.say(*arguments)
    attacked.say("backup", str(tmp_path / "backup"))
    _serve(attacked)
    places = [attacked.project.root, tmp_path / "backup"]
    own = ("sources.py", "mainstem.toml")
    files = [
        path
        for place in places
        for path in place.rglob("*")
        if path.is_file() and path.name not in own and path.suffix != ".pyc"
    ]
    assert {"state.db", "backup.json", "server.log"} <= {path.name for path in files}
    texts: dict[str, str | bytes] = {**attacked.said, **{str(path): path.read_bytes() for path in files}}
    searched = {place: canaries.leaks(text, CANARIES.values(), FRAGMENTS) for place, text in texts.items()}
    found = {place: hits for place, hits in searched.items() if hits}
    for place in texts:
        tally("canary found" if place in found else "text or file without a canary")
    assert found == {}
    assert any("***" in text for text in attacked.said.values()), "what was masked shows that there was something"


def _serve(attacked: Attacked) -> None:
    process = attacked.project.start("serve", "--port", "0")
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[0]
        for path in ("/", "/api/status", "/ready", "/docs", "/openapi.json", "/metrics", "/predict/x", "/features/x"):
            answer = httpx.get(url + path, timeout=60)
            attacked.said[f"GET {path}"] = answer.text + str(answer.headers)
        assert "failed" in attacked.said["GET /"]
    finally:
        ended = attacked.project.end(process, signal.SIGTERM)
    attacked.said["serve"] = ended.out + ended.err


def test_the_search_finds_each_canary(tally: Any) -> None:
    for value in CANARIES.values():
        for form in canaries.forms(value):
            assert canaries.leaks(f"x{form}x", CANARIES.values())
            tally("form found where it was put")


def test_a_first_look_shows_none(attacked: Attacked, tally: Any, tmp_path: Path, one_world: World) -> None:
    """A source without a known schema asks the hostile server for it."""
    lines = (attacked.project.root / "sources.py").read_text().splitlines()
    declared = [line for line in lines if line.startswith("source_")]
    for line in [*declared[::4], *OTHERS.strip().splitlines()]:
        root = tmp_path / line.partition(" ")[0]
        ignored = shutil.ignore_patterns(".mainstem", "*.lock", "__pycache__")
        shutil.copytree(attacked.project.root, root, ignore=ignored)
        (root / "sources.py").write_text(f"{GOOD}\n{line.replace('schema=ROW, ', '')}\n")
        project = Project(root, one_world)
        project.env = attacked.project.env
        began = time.monotonic()
        ended = project.mainstem("run")
        assert "Traceback" not in ended.out + ended.err and ended.code in (0, 1), ended
        assert canaries.leaks(ended.out + ended.err, CANARIES.values(), FRAGMENTS) == [], line
        assert time.monotonic() - began < 60
        tally("clear error" if ended.code else "rows were read")
