"""The files that match a glob, with their size and time of change."""

from __future__ import annotations

import glob
from pathlib import Path

Stamp = tuple[int, int]
"""Size in bytes, and time of change in nanoseconds."""


def listing(root: Path, pattern: str) -> dict[str, Stamp]:
    """Files below `root` matching `pattern` (also absolute), by path relative to it, in order."""
    paths = sorted(glob.glob(pattern, root_dir=root, recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns
    stamps = {path: stamp(root / path) for path in paths}
    return {path: found for path, found in stamps.items() if found is not None}


def stamp(file: Path) -> Stamp | None:
    """A file's size and time of change; None if there is no such file."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return (stat.st_size, stat.st_mtime_ns) if file.is_file() else None
