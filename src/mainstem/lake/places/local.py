"""A lake below a directory of this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from mainstem.lake.places.base import Entry


@dataclass(frozen=True)
class Local:
    """The lake below the directory `root`."""

    root: Path

    @property
    def where(self) -> str:
        return str(self.root)

    def begin(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)

    def beside(self, where: str) -> Local | None:
        return None if "://" in where else Local(Path(where))

    def location(self, name: str) -> str:
        return str(self.root / name)

    def here(self, name: str) -> Path:
        return self.root / name

    def fetch(self, names: Iterable[str], *, anew: bool = False) -> None:
        pass

    def keep(self, names: Iterable[str]) -> None:
        for name in names:
            sync(self.root / name)

    def share(self, names: Iterable[str]) -> None:
        pass

    def move(self, name: str, to: str) -> None:
        (self.root / name).rename(self.root / to)

    def read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes, *, new: bool = False) -> bool:
        path = self.root / name
        draft = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
        draft.write_bytes(content)
        try:
            if not new:
                draft.replace(path)
                return True
            os.link(draft, path)
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        return True

    def open(self, name: str) -> BinaryIO:
        return (self.root / name).open("rb")

    def touch(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.utime(self.root / name)

    def listing(self, folder: str) -> Iterator[Entry]:
        for path in sorted((self.root / folder).rglob("*")):
            with suppress(FileNotFoundError):
                if path.is_file():
                    found = path.stat()
                    yield Entry(str(path.relative_to(self.root)), found.st_size, found.st_mtime)

    def folders(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.root / folder).glob("*") if path.is_dir())

    def changed(self, folder: str) -> float:
        directory = self.root / folder
        if not directory.exists():
            return 0.0
        found = list[float]()
        for path in (directory, *directory.rglob("*")):
            with suppress(FileNotFoundError):
                found.append(path.stat().st_mtime)
        return max(found, default=0.0)

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            (self.root / name).unlink(missing_ok=True)

    def drop(self, folder: str) -> None:
        shutil.rmtree(self.root / folder)

    def tidy(self, before: float) -> list[Entry]:
        return []


def sync(path: str | Path) -> None:
    """Sync a file, or the entries of a directory, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
