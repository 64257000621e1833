"""Places in files, as messages name them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from mainstem.errors import SettingsError
from mainstem.settings import find_root


def place(file: str) -> str:
    """Return the path of a project's file relative to the project's root. For any other file, return its name."""
    path = Path(file)
    folder = _folder(str(path.parent))
    return path.name if folder is None else f"{folder}{path.name}"


@lru_cache(maxsize=1024)
def _folder(directory: str) -> str | None:
    """Return a directory of a project as the beginning of a path relative to the root. None for any other directory."""
    try:
        path = Path(directory).resolve()
        inside = path.relative_to(find_root(path)).as_posix()
    except (SettingsError, OSError, ValueError):
        return None
    return "" if inside == "." else f"{inside}/"
