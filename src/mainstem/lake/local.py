"""Read PyIceberg's files from a local disk. PyIceberg's own access uses PyArrow datasets, which import pandas."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from pyiceberg.io import FileIO, InputFile  # noqa: TID253 - imported where a snapshot is read


class LocalFiles(FileIO):
    """Read-only access to files of this machine."""

    def new_input(self, location: str) -> LocalFile:
        return LocalFile(location)

    def new_output(self, location: str) -> NoReturn:
        raise NotImplementedError(location)

    def delete(self, location: Any) -> NoReturn:
        raise NotImplementedError(location)


class LocalFile(InputFile):
    """A local file, given by its path or its file URL."""

    @property
    def path(self) -> Path:
        return Path(self.location.removeprefix("file://"))

    def __len__(self) -> int:
        return self.path.stat().st_size

    def exists(self) -> bool:
        return self.path.exists()

    def open(self, seekable: bool = True) -> Any:
        return self.path.open("rb")
