"""`make bench`: every benchmark after the other, or those named: `python -m benchmarks tables serving`.

With `--write` the output of a benchmark replaces its block on the page of docs/ that shows it. At the end, what is
computed from the numbers of docs/benchmarks.md is computed again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
COMPUTED = "billion"
"""It measures nothing: it reads the numbers of docs/benchmarks.md."""
ALL = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))


def run(name: str) -> tuple[int, str]:
    """In a process of its own, so that none warms another's caches: how it ended and what it printed."""
    print(f"\n── {name} " + "─" * (70 - len(name)), flush=True)
    command = [sys.executable, "-u", "-W", "ignore", str(HERE / f"{name}.py")]
    said = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            said.append(line)
    return process.returncode, "".join(said)


def written(page: str, name: str, said: str) -> str:
    """The page with what was said in the block that shows this benchmark, if it has one."""
    before, begin, after = page.partition(f"```console\n$ python benchmarks/{name}.py\n")
    return before + begin + said + after[after.index("```") :] if begin else page


def write(name: str, said: str) -> None:
    for page in DOCS.glob("*.md"):
        shown = page.read_text()
        if (new := written(shown, name, said)) != shown:
            page.write_text(new)


def main(given: list[str]) -> int:
    """Run those named; the number that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(ALL)}; all by default")
    parser.add_argument("--write", action="store_true", help="write the pages of docs/ that show them")
    options = parser.parse_args(given)
    unknown = [name for name in options.names if name not in ALL]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]!r}; there are {', '.join(ALL)}")
    failed = 0
    names = options.names or ALL
    if options.write:
        names = [*(name for name in names if name != COMPUTED), COMPUTED]
    for name in names:
        ended, said = run(name)
        failed += ended != 0
        if options.write and ended == 0:
            write(name, said)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
