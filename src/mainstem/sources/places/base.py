"""The port of file systems: list the files that match a pattern, and bring one to this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from mainstem.errors import SourceError
from mainstem.sources.listing import Stamp


class Place(Protocol):
    """Files that match the pattern of a source. `prefix` and a path below the place are the path that is told."""

    @property
    def prefix(self) -> str: ...

    def listing(self) -> dict[str, Stamp]:
        """Return the files that match, by path below the place, in order. Raises `SourceError`."""

    def stamp(self, path: str) -> Stamp | None:
        """Return size and time of change of a file; None if it does not exist."""

    def local(self, path: str) -> Path | None:
        """Return the file on this machine; None if it has to be fetched."""

    def fetch(self, path: str, target: Path) -> None:
        """Copy a file to `target` on this machine. Raises `SourceError`."""

    def nothing(self) -> SourceError:
        """Return the error for a pattern that no file matches."""


def has_magic(pattern: str) -> bool:
    """Return whether a text is a glob."""
    return any(sign in pattern for sign in "*?[")


def nothing_at(where: str, hint: str) -> SourceError:
    """Return the error for a pattern without files."""
    return SourceError(f"no file matches {where!r}", expected="at least one file", hint=hint)
