"""The size and the time of change of a file."""

from __future__ import annotations

from pathlib import Path

Stamp = tuple[int, int | None]
"""Size in bytes, and time of change in nanoseconds; None at a place that does not tell it."""


def stamp(file: Path) -> Stamp | None:
    """Return a file's size and time of change; None if the file does not exist."""
    try:
        stat = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (stat.st_size, stat.st_mtime_ns) if file.is_file() else None
