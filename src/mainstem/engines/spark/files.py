"""The files that this process and Spark's workers share: on a disk that both see, or at an object store.

A file has one path, whichever of them looks at it: of a store, it is the path in this machine's mirror.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Protocol


class Files(Protocol):
    """Where Spark reads and writes. `settings` are those of a session, `at_start` those that a new session requires.

    Methods raise `OSError`.
    """

    @property
    def settings(self) -> Mapping[str, str]: ...

    def at_start(self) -> Mapping[str, str]:
        """Return settings that a session has from its start, such as packages."""

    def url(self, path: str | Path) -> str:
        """Return what Spark calls a file or a directory of this machine."""

    def share(self, paths: Iterable[str | Path]) -> None:
        """Let Spark see files that this process wrote."""

    def parts(self, directory: Path) -> list[Path]:
        """Return the Parquet files that Spark wrote below a directory. This process can read them."""

    def move(self, path: Path, to: Path) -> None:
        """Give a file of `parts` another path."""

    def drop(self, directory: Path) -> None:
        """Delete a directory with all files below it."""


class OnDisk:
    """Paths that are the same for this process and for all workers."""

    settings: ClassVar[Mapping[str, str]] = {}

    def at_start(self) -> Mapping[str, str]:
        return {}

    def url(self, path: str | Path) -> str:
        return str(path)

    def share(self, paths: Iterable[str | Path]) -> None:
        pass

    def parts(self, directory: Path) -> list[Path]:
        return sorted(directory.rglob("*.parquet"))

    def move(self, path: Path, to: Path) -> None:
        path.rename(to)

    def drop(self, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)
