"""The console script. `--version` is answered before anything heavy is imported."""

from __future__ import annotations

import atexit
import gc
import sys


def main() -> int:
    """Run the command line; returns the exit code: 0, 1 (it failed), 2 (usage), 130 (interrupted)."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from mainstem import __version__

        sys.stdout.write(f"mainstem {__version__}\n")
        return 0
    # Imports make a million objects that stay; looking through them again and again is a fifth of a short command.
    gc.set_threshold(50_000, 20, 50)
    from mainstem.cli.app import run

    atexit.register(_end_at_once)
    return run(sys.argv[1:])


def _end_at_once() -> None:
    """Spare a process that ends its last collection, but for DuckDB's bindings, which complain of what it left."""
    if "duckdb" not in sys.modules:
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
