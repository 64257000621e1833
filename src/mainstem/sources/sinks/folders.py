"""Where files are written: a directory on this machine, or one at an object store. A file appears whole, or not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from mainstem.errors import SinkError
from mainstem.nodes.files import Files
from mainstem.nodes.storage import SETTINGS, scheme_of
from mainstem.sources.secrets import redact

PART = ".part"
"""The end of the name of a file that is being written."""


class Folder(Protocol):
    """A directory that files are written to."""

    def names(self) -> list[str]:
        """Return the names of the files in it. Raises `SinkError`."""

    def put(self, file: Path, name: str) -> None:
        """Copy a file of this machine to a name at once: it replaces one of that name. Raises `SinkError`."""

    def remove(self, name: str) -> None:
        """Remove a file if it is there. Raises `SinkError`."""


def folder_of(node: Files, root: Path) -> Folder:
    """Return the directory of the last part of a target's path. Raises `SinkError`."""
    above, _, _ = node.path.rpartition("/")
    if "://" not in node.path:
        return LocalFolder(root / above)
    from mainstem.sources.places.remote import remote

    place = remote(node.path, node.storage)
    path, _, _ = place.pattern.rpartition("/")
    return RemoteFolder(
        place.system, path, place.prefix, scheme_of(node.path) in SETTINGS, tuple(node.storage.values())
    )


@dataclass(frozen=True)
class LocalFolder:
    """A directory on this machine. It is made when a file is written."""

    path: Path

    def names(self) -> list[str]:
        with _told(str(self.path)):
            return [each.name for each in self.path.iterdir()] if self.path.is_dir() else []

    def put(self, file: Path, name: str) -> None:
        with _told(str(self.path / name)):
            self.path.mkdir(parents=True, exist_ok=True)
            for left in self.path.glob(f".{name}.*{PART}"):
                left.unlink(missing_ok=True)
            beside = self.path / f".{name}.{uuid4().hex[:8]}{PART}"
            shutil.copyfile(file, beside)
            _sync(beside)
            beside.replace(self.path / name)
            _sync(self.path)

    def remove(self, name: str) -> None:
        with _told(str(self.path / name)):
            (self.path / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class RemoteFolder:
    """A directory at a file system. At an object store (`whole`) a file appears when its upload ends."""

    system: Any
    path: str
    prefix: str
    whole: bool
    templates: tuple[str, ...] = ()

    def names(self) -> list[str]:
        from pyarrow import fs

        with _told(self.prefix + self.path, *self.templates):
            found = self.system.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        return [info.base_name for info in found if info.type == fs.FileType.File]

    def put(self, file: Path, name: str) -> None:
        from pyarrow import fs

        target = f"{self.path}/{name}"
        written = target if self.whole else f"{self.path}/.{name}{PART}"
        with _told(self.prefix + target, *self.templates):
            if not self.whole:
                self.system.create_dir(self.path, recursive=True)
            # One call, which no interrupt leaves half done: a stream that is closed on an error completes its upload.
            fs.copy_files(
                str(file), written, fs.LocalFileSystem(), self.system, chunk_size=4 * 2**20, use_threads=False
            )
            if not self.whole:
                self.system.move(written, target)

    def remove(self, name: str) -> None:
        with _told(f"{self.prefix}{self.path}/{name}", *self.templates):
            self.system.delete_file(f"{self.path}/{name}")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _told(where: str, *templates: str) -> Iterator[None]:
    """Name the place in an error of the file system, without what is secret."""
    try:
        yield
    except OSError as error:
        said = redact(str(error), *templates)
        raise SinkError("a file cannot be written", where=where, got=said).passing(bool(templates)) from error
