"""Virtual environments of the tools that stand beside Mainstem. None is a dependency; each is made when needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).parent.parent / ".mainstem" / "bench"


def environment(name: str, version: str, *requirements: str) -> Path:
    """The `bin` directory of an environment with these packages; exits if they cannot be installed."""
    home = CACHE / f"{name}-{version}"
    programs, done = home / "bin", home / ".installed"
    if not done.exists():
        print(f"installing {name} {version} in {home}: some minutes, once", file=sys.stderr, flush=True)
        make = [sys.executable, "-m", "venv", "--clear", str(home)]
        fill = [str(programs / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for command in (make, [*fill, *requirements]):
            if subprocess.run(command).returncode:
                sys.exit(f"{name} {version} could not be installed\n  hint: it needs a package index")
        done.touch()
    return programs
