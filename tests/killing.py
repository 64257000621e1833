"""Runs of a project that are killed while they collect or deliver: `python killing.py` forks a process for each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import mainstem as ms


class Forks:
    """A process that has imported everything, and forks another for each run: to import takes longer than to run."""

    def __init__(self) -> None:
        command, paths = [sys.executable, __file__], os.pathsep.join(filter(None, sys.path))
        environment = {**os.environ, "PYTHONPATH": paths}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, root: Path, text: str, seconds: float | None, step: str = "deliver out") -> float:
        """Run the project at `root`, and kill the run these seconds after the step began; None: let it end. Return how
        long the step, and what came after it, took.

        `text` is an expression: of the target of the sink `out`, or of the source `rows` if that is collected.
        """
        self._send(json.dumps([str(root), text, step]))
        pid = int(self._line())
        line = ""
        while line != f"started {step}":
            line = self._line()
            assert line != "end", f"there was no step {step!r}"
        began = time.monotonic()
        if seconds is not None:
            time.sleep(seconds)
            os.kill(pid, signal.SIGKILL)
        while line != "end":
            line = self._line()
        took = time.monotonic() - began
        self._send("")  # the process that has ended keeps its id until then: no other one was killed
        return took

    def _send(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the process that forks has ended"
        return line.strip()

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.wait(30)


def source(root: str | Path, text: str) -> Any:
    """Open a project with the source `rows`, which an expression declares."""
    from mainstem import settings
    from mainstem.project.project import Project

    return Project(settings.load(Path(root)), {"rows": eval(text, NAMES)})


def tickets(file: str) -> Any:
    """Return a resource of dlt: the rows of a JSON file from the last id on."""
    import dlt

    @dlt.resource(name="tickets", primary_key="id")
    def rows(id: Any = dlt.sources.incremental("id", initial_value=-1)) -> Any:  # noqa: B008 - as dlt has it
        yield [row for row in json.loads(Path(file).read_text()) if row["id"] >= id.last_value]

    return rows


NAMES = {"ms": ms, "tickets": tickets}
"""What the expressions name."""


def _serve() -> None:

    from sinking import Shop

    for each in ("duckdb", "ibis.backends.duckdb", "psycopg", "pymysql", "confluent_kafka", "adbc_driver_postgresql"):
        __import__(each)
    for each in ("dlt", "mainstem.sources.collect", "mainstem.sources.sinks.deliver", "mainstem.project.project"):
        __import__(each)
    for line in iter(sys.stdin.readline, ""):
        root, text, step = json.loads(line)
        if (pid := os.fork()) == 0:
            try:
                with (
                    Shop(Path(root), eval(text, NAMES)).opened() if "deliver" in step else source(root, text) as project
                ):
                    project.run(report=lambda event: _say(f"{event.kind} {event.step.key}"))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        _say(str(pid))
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        _say("end")
        sys.stdin.readline()
        os.waitpid(pid, 0)


def _say(text: Any) -> None:
    os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    _serve()
