"""Print the test files that a change touches, one a line: `python tests/touched.py [REVISION]`.

A changed test is one; so is a test that mirrors a changed module (`features/keys.py` → `tests/features/test_keys.py`)
or imports it. For a module that many tests import, only the mirror runs: a change of `errors.py` would run the whole
suite. Standard error names what is left out.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent
MANY = 12
SLOW = frozenset({"tests/demo/test_demo.py", "tests/features/test_conformance.py"})


def changed(since: str) -> list[str]:
    """Return the paths that differ from `since` in the working tree, untracked files among them."""
    commands = (["git", "diff", "--name-only", since], ["git", "ls-files", "--others", "--exclude-standard"])
    outputs = [subprocess.run(c, cwd=ROOT, check=True, capture_output=True, text=True).stdout for c in commands]
    return sorted({line for output in outputs for line in output.splitlines()})


def touched(paths: Iterable[str], tests: dict[str, str]) -> tuple[set[str], list[str]]:
    """Return the chosen files of `tests` (path → text), and what was left out, each in a sentence."""
    chosen: set[str] = set()
    left_out = []
    for path in paths:
        if path in tests:
            chosen.add(path)
        elif path.startswith("src/mainstem/") and path.endswith(".py"):
            direct = importers(path, tests)
            if len(direct) > MANY:
                left_out.append(f"{len(direct)} test files import {path}: run make unit")
                direct = set()
            chosen |= direct | mirrors(path, tests)
        elif path.endswith(".md"):
            chosen |= {"tests/test_docs.py"} & tests.keys()
    left_out += [f"{path} is slow: run it by name" for path in sorted(chosen & SLOW)]
    return chosen - SLOW, left_out


def mirrors(path: str, tests: dict[str, str]) -> set[str]:
    module = Path(path.removeprefix("src/mainstem/"))
    return {str(Path("tests") / module.parent / f"test_{module.name}")} & tests.keys()


def importers(path: str, tests: dict[str, str]) -> set[str]:
    name = path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    package, _, module = name.rpartition(".")
    pattern = re.compile(rf"\b{re.escape(name)}\b(?!\.)|from {re.escape(package)} import .*\b{re.escape(module)}\b")
    return {test for test, text in tests.items() if pattern.search(text)}


def main(since: str = "HEAD") -> None:
    tests = {str(path.relative_to(ROOT)): path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py"))}
    chosen, left_out = touched(changed(since), tests)
    sys.stdout.writelines(f"{path}\n" for path in sorted(chosen))
    sys.stderr.writelines(f"{sentence}\n" for sentence in left_out)


if __name__ == "__main__":
    main(*sys.argv[1:])
