"""PyIceberg's access to the files of a lake: wherever that is now, and durable once they are closed.

Iceberg's metadata holds absolute paths or URLs. A project is moved and copied, so only the end of a path counts here:
`tables/TABLE/data/FILE` or `tables/TABLE/metadata/FILE`. What stands before it is where the lake was when the path was
written. PyIceberg's own file access takes paths for URLs, and its reads import pandas.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pyiceberg.io import FileIO, InputFile, OutputFile, OutputStream  # noqa: TID253 - imported where files are read

from mainstem.lake.places.base import Place, relative
from mainstem.lake.places.local import sync

PLACE = "mainstem.place"
"""The property of a catalog that is the lake's place."""


class LakeFiles(FileIO):
    """PyIceberg's access to the files of the lake at the property `mainstem.place`."""

    def __init__(self, properties: dict[str, Any]) -> None:
        super().__init__(properties)
        self._place: Place = properties[PLACE]

    @classmethod
    def of(cls, place: Place) -> LakeFiles:
        """Return the access to the lake at `place`."""
        return cls({PLACE: place})

    def path(self, location: str) -> Path:
        """Return where the file of a location in Iceberg's metadata is on this machine, or will be once fetched."""
        return self._place.root / relative(location)

    def new_input(self, location: str) -> _Input:
        return _Input(location, self._place)

    def new_output(self, location: str) -> _Output:
        return _Output(location, self._place)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        self._place.delete([relative(location if isinstance(location, str) else location.location)])


class _Placed:
    """A file of the lake: its location in Iceberg's metadata, and its place."""

    def __init__(self, location: str, place: Place) -> None:
        super().__init__(location)  # type: ignore[call-arg]  # InputFile or OutputFile
        self._place, self._name = place, relative(location)

    def __len__(self) -> int:
        return self._place.here(self._name).stat().st_size

    def exists(self) -> bool:
        try:
            return self._place.here(self._name).exists()
        except FileNotFoundError:
            return False


class _Input(_Placed, InputFile):
    def open(self, seekable: bool = True) -> Any:
        return self._place.here(self._name).open("rb")


class _Output(_Placed, OutputFile):
    def to_input_file(self) -> _Input:
        return _Input(self.location, self._place)

    def create(self, overwrite: bool = False) -> OutputStream:
        path = self._place.root / self._name
        path.parent.mkdir(parents=True, exist_ok=True)
        return _Stream(self._place, self._name, path.open("wb" if overwrite else "xb"))


class _Stream(OutputStream):
    """Makes a file durable when it is closed.

    The catalog's SQLite syncs too. Without this, a power cut could lose metadata that the catalog refers to, after the
    log with the same rows was trimmed.
    """

    def __init__(self, place: Place, name: str, file: Any) -> None:
        self._place, self._name, self._file = place, name, file

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
        self._place.keep([self._name])
        if self._name.endswith(".metadata.json"):  # the last file of a commit: one sync of the directory for all
            sync((self._place.root / self._name).parent)

    @property
    def closed(self) -> bool:
        return bool(self._file.closed)

    def __enter__(self) -> OutputStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
