"""The port of a lake's file access. Names are relative to the lake's root: `tables/TABLE/data/FILE`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

_FOLDERS = ("data", "metadata")


def relative(location: str | Path) -> str:
    """Return a path or URL of a table's file from the lake's root on. Raises `ValueError` for another path."""
    parts = str(location).rsplit("/", 4)[-4:]
    if len(parts) < 4 or parts[0] != "tables" or parts[2] not in _FOLDERS:
        raise ValueError(f"{location} is not a file of a lake")
    return "/".join(parts)


@dataclass(frozen=True)
class Entry:
    """A file of a lake: its `name`, its `size` in bytes, and the instant of its last write (seconds since 1970)."""

    name: str
    size: int
    changed: float


class Place(Protocol):
    """The files of one lake.

    Files of tables never change. An engine reads and writes them below the directory `root`: it is the lake itself, or
    a mirror of it. `where` is the lake's place as messages show it. All methods raise `OSError`.
    """

    @property
    def root(self) -> Path: ...

    @property
    def where(self) -> str: ...

    def begin(self) -> None:
        """Create what must be there before files are written."""

    def beside(self, where: str) -> Place | None:
        """Return another lake's place; None if it cannot be reached in the way that this one is."""

    def location(self, name: str) -> str:
        """Return a file's path or URL, as Iceberg's metadata has it."""

    def here(self, name: str) -> Path:
        """Return the path below `root` of a file. The file is fetched if it is elsewhere."""

    def fetch(self, names: Iterable[str], *, anew: bool = False) -> None:
        """Fetch files that are not below `root` yet, and with `anew` also those that are. One that does not exist stays
        missing."""

    def keep(self, names: Iterable[str]) -> None:
        """Make files durable that were written below `root`."""

    def share(self, names: Iterable[str]) -> None:
        """Let other machines see files that are below `root`, if they do not see them yet."""

    def move(self, name: str, to: str) -> None:
        """Give a file another name."""

    def read(self, name: str) -> bytes | None:
        """Return the present content of a file that may change; None if it does not exist."""

    def write(self, name: str, content: bytes, *, new: bool = False) -> bool:
        """Write a small file at once. With `new`, return False if it exists."""

    def open(self, name: str) -> BinaryIO:
        """Open the stored file for reading, not a copy of it."""

    def touch(self, name: str) -> None:
        """Let the instant of a file's last write be now."""

    def listing(self, folder: str) -> Iterator[Entry]:
        """Yield all files below a folder, those of its folders too."""

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder, sorted."""

    def changed(self, folder: str) -> float:
        """Return the instant of the last change in a folder (seconds since 1970); 0 for one that does not exist."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete files. One that does not exist is left out."""

    def drop(self, folder: str) -> None:
        """Delete a folder with all files below it."""

    def tidy(self, before: float) -> list[Entry]:
        """Delete and return files below `root` that the lake lacks, if they were written before an instant."""
