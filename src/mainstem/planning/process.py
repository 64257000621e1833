"""Which process does a run, so that one that was killed is not taken for one that goes on."""

from __future__ import annotations

import os
import socket


def here() -> str:
    """This process, as `host:pid`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_gone(process: str) -> bool:
    """Whether a process was one of this machine and is no more; of another machine's nobody here can tell."""
    host, _, pid = process.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit() or os.name != "posix":
        return False
    try:
        os.kill(int(pid), 0)  # signal 0 only asks
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
