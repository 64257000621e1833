"""The console script. `--version` is answered before anything heavy is imported."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from contextlib import suppress

CANNOT_WRITE = 120
"""The exit code of a command whose output could not be written, which is also Python's."""


def main() -> int:
    """Run the command line and end the process with its code: 0, 1 (failed), 2 (usage) or 130 (interrupted)."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from mainstem import __version__

        sys.stdout.write(f"mainstem {__version__}\n")
        return 0
    # Imports create a million long-lived objects. Scanning them repeatedly takes a fifth of a short command's time.
    gc.set_threshold(50_000, 20, 50)
    from mainstem.cli.app import run

    code = _finished(run(sys.argv[1:]))
    # Python would take itself apart here. A thread of a C++ library that asks for Python then, as an interrupted step's
    # may, aborts the process, and objects that such a thread holds are reported as leaks.
    os._exit(code)


def _finished(code: int) -> int:
    """Run what was registered for the end of the process, and write what is buffered.

    A step that was interrupted may still wait, as for an answer or a function of the user. What is registered would
    wait for it, and is left out.
    """
    if not any(thread.daemon and thread.name.startswith("mainstem-") for thread in threading.enumerate()):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as problem:
            code = code or CANNOT_WRITE
            with suppress(OSError):
                sys.stderr.write(f"the output could not be written: {problem.strerror}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
