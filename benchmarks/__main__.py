"""`make bench`: every benchmark after the other, or those named: `python -m benchmarks tables serving`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ALL = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))


def main(names: list[str]) -> int:
    """Run each in a process of its own, so that none warms another's caches; the number that failed."""
    unknown = [name for name in names if name not in ALL]
    if unknown:
        print(f"no benchmark is called {unknown[0]!r}; there are {', '.join(ALL)}")
        return 2
    failed = 0
    for name in names or ALL:
        print(f"\n── {name} " + "─" * (70 - len(name)), flush=True)
        failed += subprocess.run([sys.executable, "-W", "ignore", str(HERE / f"{name}.py")]).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
