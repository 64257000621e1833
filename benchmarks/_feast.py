"""Feast in an environment of its own, as a child process that is given orders (see `_feast_side.py`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from _environments import environment as programs

VERSION = "0.67.0"
SIDE = Path(__file__).parent / "_feast_side.py"


def environment() -> Path:
    """The Python of an environment with Feast, DuckDB and Redis; exits if there can be none."""
    return programs("feast", VERSION, f"feast[duckdb,redis]=={VERSION}") / "python"


class Feast:
    """The child process. Its own messages are in `feast.log` of the directory of the data."""

    def __init__(self, root: Path, features: list[str]) -> None:
        self._log = root / "feast.log"
        # FEAST_USAGE switched off the telemetry of older versions; 0.67 has none.
        surroundings = os.environ | {"FEAST_USAGE": "False", "PYTHONWARNINGS": "ignore"}
        surroundings.pop("PYTHONPATH", None)
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [str(environment()), str(SIDE), str(root), ",".join(features)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=surroundings,
            )

    def __enter__(self) -> Feast:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def __call__(self, do: str, /, name: str, **given: Any) -> Any:
        """Carry out an order; exits with Feast's last words if it cannot."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            print(json.dumps({"do": do, "name": name, **given}), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            sys.exit(f"Feast could not {do} {name}:\n{self._log.read_text()[-2000:]}")
        return json.loads(answer)
