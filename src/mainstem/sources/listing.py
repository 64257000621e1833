"""The files that match a glob, with their size and time of change."""

from __future__ import annotations

import glob
from pathlib import Path

from mainstem.errors import SourceError, close_matches

Stamp = tuple[int, int]
"""Size in bytes, and time of change in nanoseconds."""


def listing(root: Path, pattern: str) -> dict[str, Stamp]:
    """Return files below `root` that match `pattern` (perhaps absolute), by relative path, in order."""
    paths = sorted(glob.glob(pattern, root_dir=root, recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns
    stamps = {path: stamp(root / path) for path in paths}
    return {path: found for path, found in stamps.items() if found is not None}


def stamp(file: Path) -> Stamp | None:
    """Return a file's size and time of change; None if the file does not exist."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return (stat.st_size, stat.st_mtime_ns) if file.is_file() else None


def no_file(pattern: str, root: Path) -> SourceError:
    """Return the error for a pattern that no file matches."""
    first = Path(pattern).parts[0]
    near = None if (root / first).exists() else close_matches(first, (path.name for path in root.iterdir()))
    return SourceError(
        f"no file matches {pattern!r}",
        expected=f"at least one file below {root}",
        hint=near or "the path is relative to the project; check that the data has arrived",
    )
