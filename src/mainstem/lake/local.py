"""Reading PyIceberg's files from a local disk. Its own access is PyArrow's datasets, which take pandas along."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from pyiceberg.io import FileIO, InputFile  # noqa: TID253 - imported where a snapshot is read


class LocalFiles(FileIO):
    """Files of this machine, only to be read."""

    def new_input(self, location: str) -> LocalFile:
        return LocalFile(location)

    def new_output(self, location: str) -> NoReturn:
        raise NotImplementedError(location)

    def delete(self, location: Any) -> NoReturn:
        raise NotImplementedError(location)


class LocalFile(InputFile):
    """One of them, by its path or its file URL."""

    @property
    def path(self) -> Path:
        return Path(self.location.removeprefix("file://"))

    def __len__(self) -> int:
        return self.path.stat().st_size

    def exists(self) -> bool:
        return self.path.exists()

    def open(self, seekable: bool = True) -> Any:
        return self.path.open("rb")
