"""Runs of a project with a sink that are killed while they deliver: `python killing.py` forks a process for each."""

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


class Forks:
    """A process that has imported everything, and forks another for each run: to import takes longer than to run."""

    def __init__(self) -> None:
        command, paths = [sys.executable, __file__], os.pathsep.join(filter(None, sys.path))
        environment = {**os.environ, "PYTHONPATH": paths}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, root: Path, to: str, seconds: float | None) -> float:
        """Run the project at `root`, and kill the run these seconds after it began to deliver; None: let it end. Return
        how long it delivered."""
        self._send(json.dumps([str(root), to]))
        pid = int(self._line())
        line = ""
        while line != "started deliver out":
            line = self._line()
            assert line != "end", "it never delivered"
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


def _serve() -> None:
    import mainstem as ms
    import mainstem.project.project
    import mainstem.sources.sinks.deliver
    from sinking import Shop

    for each in ("duckdb", "ibis.backends.duckdb", "psycopg", "pymysql", "confluent_kafka", "adbc_driver_postgresql"):
        __import__(each)
    for line in iter(sys.stdin.readline, ""):
        root, to = json.loads(line)
        if (pid := os.fork()) == 0:
            try:
                with Shop(Path(root), eval(to, {"ms": ms})).opened() as project:
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
