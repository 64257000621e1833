"""The console script. `--version` is answered before anything heavy is imported."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading


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
    code = run(sys.argv[1:])
    _leave_threads(code)
    return code


def _leave_threads(code: int) -> None:
    """End the process here if an interrupted step still waits, as for an answer. Its thread would hold objects that
    libraries report as leaks when Python ends."""
    if any(thread.daemon and thread.name.startswith("mainstem-") for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end_at_once() -> None:
    """Skip the last garbage collection of the process, unless DuckDB is loaded, whose bindings report leaks then."""
    if "duckdb" not in sys.modules:
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
