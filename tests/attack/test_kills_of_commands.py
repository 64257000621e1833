"""`kill -9` at random moments of run, gc, promote, rollback and backup: what is published stays whole."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attack.reading import duration, ids, killed, whole
from command_line import FLIGHTS, Project, flight

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

Make = Callable[[Project], Project]
BATCH = 5


def more(project: Project, batch: int) -> None:
    first = FLIGHTS + batch * BATCH
    project.add(*map(flight, range(first, first + BATCH)))


def same(attacked: Project, other: Project) -> dict[str, Any]:
    """Both have the same rows in every table and the same online features. Return those of the first."""
    found, expected = whole(attacked), whole(other)
    assert found["tables"].keys() == expected["tables"].keys()
    for name, rows in expected["tables"].items():
        assert found["tables"][name] == rows, name
    assert found["online"] == expected["online"]
    return found


@pytest.mark.parametrize("part", [1, 2])
def test_run(live: Project, undisturbed: Make, chance: random.Random, tally: Any, part: int) -> None:
    more(live, 0)
    seconds = duration(live, "run")
    kills, batch, published = 0, 1, FLIGHTS + BATCH
    while kills < 13:
        more(live, batch)
        batch += 1
        if working := killed(live.start("run"), chance.uniform(0.1, 1.1) * seconds):
            kills += 1
        found = numbers(live)
        assert found in (published, FLIGHTS + batch * BATCH), "all of a run, or nothing"
        outcome = "the release before" if found == published else "the new release"
        tally(f"{'killed' if working else 'ended before the kill'}: {outcome}")
        published = found
    assert live.mainstem("run").code == 0
    assert numbers(live) == FLIGHTS + batch * BATCH
    same(live, undisturbed(live))


def numbers(project: Project) -> int:
    """How many flights are published. They are the first ones, without a gap."""
    found = ids(whole(project), "flights")
    assert found == sorted(f"F{n}" for n in range(len(found)))
    return len(found)


def test_gc_promote_and_rollback(live: Project, undisturbed: Make, chance: random.Random, tally: Any) -> None:
    more(live, 0)
    killed(live.start("run"), 2.0)  # it leaves files for gc
    live.goes_on()
    contents = [whole(live)["tables"]]
    more(live, 1)
    live.goes_on()
    contents.append(whole(live)["tables"])
    commands = [["gc"], ["promote", "late"], ["promote", "late", "--rollback"], ["rollback"]]
    seconds = duration(live, "gc")
    kills = attempts = 0
    while kills < 16:
        command = commands[attempts % 4]
        attempts += 1
        before = whole(live)["tables"] if command[0] != "rollback" else None
        if killed(live.start(*command), chance.uniform(0.2, 0.9) * seconds):
            kills += 1
            tally(f"{command[0]} killed")
        else:
            tally(f"{command[0]} ended before the kill")
        found = whole(live)["tables"]
        assert found == before if before is not None else found in contents
    live.mainstem("run", "--forward")
    same(live, undisturbed(live))
    assert live.mainstem("gc").code == 0
    whole(live)


def test_backup(live: Project, chance: random.Random, tally: Any, tmp_path: Path) -> None:
    expected = whole(live)
    to, part = tmp_path / "backup", tmp_path / ".backup.part"
    seconds = duration(live, "backup", str(to))
    kills = number = 0
    while kills < 8:
        shutil.rmtree(to, ignore_errors=True)
        working = killed(live.start("backup", str(to)), chance.uniform(0.4, 1.05) * seconds)
        kills += working
        assert whole(live) == expected
        number += 1
        for made in (to, part):
            if made.exists():
                tally(f"{'killed' if working else 'ended first'}: {restoring(live, made, number, expected)}")
        if not to.exists() and not part.exists():
            tally("killed: no backup")
    shutil.rmtree(to, ignore_errors=True)
    assert live.mainstem("backup", str(to)).code == 0, "what a killed backup left does not block the next one"
    assert restoring(live, to, number + 1, expected) == "a whole backup"


def restoring(project: Project, backup: Path, number: int, expected: dict[str, Any]) -> str:
    """Restore what lies there into a new project: it is refused, or all is there."""
    root = backup.parent / f"restored-{number}{backup.suffix}"
    shutil.copytree(project.root, root, ignore=shutil.ignore_patterns(".mainstem", "__pycache__"))
    other = Project(root, _World(project))
    ended = other.mainstem("restore", str(backup))
    assert "Traceback" not in ended.err
    if ended.code:
        assert ended.code == 1 and not (root / ".mainstem/state/state.db").exists()
        return "half a backup is refused"
    assert whole(other) == expected
    return "a whole backup"


class _World:
    def __init__(self, project: Project) -> None:
        self.url = project.env["WORLD_URL"]
