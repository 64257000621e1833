"""What an attacked project answers: its tables, predictions and online features, each read by a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from command_line import PATIENCE, Ended, Project

READER = Path(__file__).parent / "reader.py"


@dataclass(frozen=True)
class Seen:
    """The reader's and the status command's end."""

    reader: Ended
    status: Ended

    @property
    def answers(self) -> dict[str, Any]:
        assert self.reader.code == 0, self.reader
        found: dict[str, Any] = json.loads(self.reader.out)
        return found


def look(project: Project) -> Seen:
    """Read all that the release has, and ask for the status at the same time."""
    status = project.start("status", "--json")
    reader = subprocess.Popen(
        [sys.executable, str(READER), str(project.root)],
        cwd=project.root,
        env=project.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = reader.communicate(timeout=PATIENCE)
    return Seen(Ended(reader.returncode, out, err), project.end(status))


def whole(project: Project) -> dict[str, Any]:
    """Return the answers of a project that must be readable, with a release whose tables belong together."""
    seen = look(project)
    assert seen.status.code == 0, seen.status
    found = seen.answers
    assert ids(found, "legs") == ids(found, "flights")
    origins = sum(json.loads(row)["flights"] for row in found["tables"]["airports"])
    assert origins == len(found["tables"]["legs"])
    return found


def ids(answers: dict[str, Any], table: str, column: str = "flight_id") -> list[str]:
    return sorted(json.loads(row)[column] for row in answers["tables"][table])


def killed(process: subprocess.Popen[str], after: float) -> bool:
    """Kill a command and its children after some seconds. Return whether it was still at work."""
    time.sleep(after)
    working = process.poll() is None
    if working:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    return working


def duration(project: Project, *arguments: str) -> float:
    """Return the seconds that a command takes when nothing disturbs it."""
    began = time.monotonic()
    assert project.mainstem(*arguments).code == 0
    return time.monotonic() - began
