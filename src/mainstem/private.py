"""Files and directories that only their owner may read: state, keys, online features and logs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

FILE, DIRECTORY = 0o600, 0o700


def directory(path: Path) -> None:
    """Make a directory, and those above it that are missing, private. One that exists becomes private, if it is ours.

    Raises `OSError` if it cannot be made.
    """
    missing = [path, *path.parents]
    for each in reversed(missing[: next(n for n, p in enumerate(missing) if p.exists())]):
        with suppress(FileExistsError):
            each.mkdir(mode=DIRECTORY)  # a umask can only take rights away
    _restrict(path, DIRECTORY)


def file(path: Path) -> None:
    """Make a file private, and create it if it is missing. Raises `OSError` if it cannot be made."""
    if path.exists():
        _restrict(path, FILE)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, FILE))


def files(*paths: Path) -> None:
    """Make those of some files private that exist."""
    for path in paths:
        if path.exists():
            _restrict(path, FILE)


def _restrict(path: Path, mode: int) -> None:
    """Take from others what they may do. Another owner's are left: the owner decides."""
    with suppress(PermissionError, FileNotFoundError):
        found = path.stat().st_mode & 0o777
        if found & ~mode:
            path.chmod(found & mode)
