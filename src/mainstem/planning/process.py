"""The process of a run, so that a killed run is not taken for a running one."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime


def here() -> str:
    """This process, as `host:pid`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def me() -> str:
    """This process and the time, for others that wait for it."""
    return f"process {here()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


def is_gone(process: str) -> bool:
    """Return whether a process of this machine has ended. Processes of other machines cannot be checked."""
    host, _, pid = process.rpartition(":")
    if host != socket.gethostname() or not pid.isdigit() or os.name != "posix":
        return False
    try:
        os.kill(int(pid), 0)  # signal 0 only checks for existence
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
