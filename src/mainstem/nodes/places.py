"""Places in files, as messages name them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from mainstem.errors import SettingsError
from mainstem.settings import find_root


@lru_cache(maxsize=1024)
def place(file: str) -> str:
    """Return the path of a project's file relative to the project's root. For any other file, return its name."""
    try:
        path = Path(file).resolve()
        return path.relative_to(find_root(path.parent)).as_posix()
    except (SettingsError, OSError, ValueError):
        return Path(file).name
