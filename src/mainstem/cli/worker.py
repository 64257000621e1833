"""A worker process of `mainstem serve --workers`. The supervisor starts it; it is not for people.

`python -m mainstem.cli.worker ROOT BRANCH PROFILE SOCKET LEASH SLOT SHARED`
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mainstem.cli.options import exit_code, opened
from mainstem.cli.render import output
from mainstem.errors import MainstemError


def main(arguments: Sequence[str]) -> int:
    """Answer until SIGTERM, or until the supervisor has ended. Return the exit code."""
    from mainstem.pages.routes import routes
    from mainstem.project import live

    root, branch, profile, at, leash, slot, shared = arguments
    gc.set_threshold(50_000, 20, 50)
    try:
        with opened(Path(root), profile, branch) as project:
            live.work(project, routes, int(at), int(leash), int(slot), Path(shared))
    except MainstemError as error:
        output(json=False).error(error)
        return exit_code(error)
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # as `mainstem` itself: threads of libraries may still run
