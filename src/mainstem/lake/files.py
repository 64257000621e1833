"""The files of a lake: below its root, wherever that is now, and durable once they are closed.

Iceberg's metadata holds absolute paths. A project is moved and copied, so only the end of a path counts here:
`tables/TABLE/data/FILE` or `tables/TABLE/metadata/FILE`. What stands before it is where the lake was when the path was
written. PyIceberg's own file access takes paths for URLs, and its reads import pandas.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pyiceberg.io import FileIO, InputFile, OutputFile, OutputStream  # noqa: TID253 - imported where files are read

ROOT = "mainstem.root"
"""The property of a catalog that names the lake's root."""

_FOLDERS = ("data", "metadata")


def relative(location: str | Path) -> str:
    """Return a path of a lake from the lake's root on. Raises `ValueError` for another path."""
    parts = str(location).rsplit("/", 4)[-4:]
    if len(parts) < 4 or parts[0] != "tables" or parts[2] not in _FOLDERS:
        raise ValueError(f"{location} is not a file of a lake")
    return "/".join(parts)


class LakeFiles(FileIO):
    """PyIceberg's access to the files of the lake at the property `mainstem.root`."""

    def __init__(self, properties: dict[str, str]) -> None:
        super().__init__(properties)
        self._root = Path(properties[ROOT])

    @classmethod
    def of(cls, root: Path) -> LakeFiles:
        """Return the access to the lake at `root`."""
        return cls({ROOT: str(root)})

    def path(self, location: str) -> Path:
        """Return where the file of a location in Iceberg's metadata is now."""
        return self._root / relative(location)

    def new_input(self, location: str) -> _Input:
        return _Input(location, self.path(location))

    def new_output(self, location: str) -> _Output:
        return _Output(location, self.path(location))

    def delete(self, location: str | InputFile | OutputFile) -> None:
        self.path(location if isinstance(location, str) else location.location).unlink()


class _Placed:
    """A file of the lake: its location in Iceberg's metadata, and its path now."""

    def __init__(self, location: str, path: Path) -> None:
        super().__init__(location)  # type: ignore[call-arg]  # InputFile or OutputFile
        self._path = path

    def __len__(self) -> int:
        return self._path.stat().st_size

    def exists(self) -> bool:
        return self._path.exists()


class _Input(_Placed, InputFile):
    def open(self, seekable: bool = True) -> Any:
        return self._path.open("rb")


class _Output(_Placed, OutputFile):
    def to_input_file(self) -> _Input:
        return _Input(self.location, self._path)

    def create(self, overwrite: bool = False) -> OutputStream:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return _Stream(self._path, "wb" if overwrite else "xb")


class _Stream(OutputStream):
    """Syncs a file to disk when it is closed.

    The catalog's SQLite syncs too. Without this, a power cut could lose metadata that the catalog refers to, after the
    log with the same rows was trimmed.
    """

    def __init__(self, path: Path, mode: str) -> None:
        self._path = path
        self._file: Any = path.open(mode)

    def write(self, b: bytes) -> int:
        return int(self._file.write(b))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if self._file.closed:
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if self._path.name.endswith(".metadata.json"):  # the last file of a commit: one sync of the directory for all
            sync(self._path.parent)

    @property
    def closed(self) -> bool:
        return bool(self._file.closed)

    def __enter__(self) -> OutputStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def sync(path: str | Path) -> None:
    """Sync a file, or the entries of a directory, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
