"""The console script. `--version` is answered before anything heavy is imported."""

from __future__ import annotations

import atexit
import gc
import sys


def main() -> int:
    """Run the command line and return the exit code: 0, 1 (failed), 2 (usage) or 130 (interrupted)."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from mainstem import __version__

        sys.stdout.write(f"mainstem {__version__}\n")
        return 0
    # Imports create a million long-lived objects. Scanning them repeatedly takes a fifth of a short command's time.
    gc.set_threshold(50_000, 20, 50)
    from mainstem.cli.app import run

    atexit.register(_end_at_once)
    return run(sys.argv[1:])


def _end_at_once() -> None:
    """Skip the last garbage collection of the process, unless DuckDB is loaded, whose bindings report leaks then."""
    if "duckdb" not in sys.modules:
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
