"""File access for PyIceberg that syncs a file to disk when it closes it.

The catalog's SQLite syncs too. Without this, a power cut could lose metadata that the catalog refers to, after the log
with the same rows was trimmed.
"""

from __future__ import annotations

import os
from typing import Any

from pyiceberg.io import InputFile, OutputFile, OutputStream  # noqa: TID253 - only PyIceberg imports this module
from pyiceberg.io.pyarrow import PyArrowFileIO  # noqa: TID253


class DurableFileIO(PyArrowFileIO):
    """PyArrow's file access, with durable local writes. Other file systems are durable once they
    acknowledge a write."""

    def new_output(self, location: str) -> Any:
        scheme, _, path = self.parse_location(location)
        output = super().new_output(location)
        return _DurableFile(output, path) if scheme == "file" else output


class _DurableFile(OutputFile):
    def __init__(self, output: OutputFile, path: str) -> None:
        super().__init__(output.location)
        self._output = output
        self._path = path

    def __len__(self) -> int:
        return len(self._output)

    def exists(self) -> bool:
        return self._output.exists()

    def to_input_file(self) -> InputFile:
        return self._output.to_input_file()

    def create(self, overwrite: bool = False) -> OutputStream:
        return _DurableStream(self._output.create(overwrite), self._path)


class _DurableStream(OutputStream):
    def __init__(self, stream: Any, path: str) -> None:
        self._stream = stream
        self._path = path

    def write(self, b: bytes) -> int:
        return int(self._stream.write(b))

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        if not self._stream.closed:
            self._stream.close()
            sync(self._path)
            if self._path.endswith(
                ".metadata.json"
            ):  # the last file of a commit, so one sync of the directory covers all files
                sync(os.path.dirname(self._path))  # noqa: PTH120 - PyArrow's path is a text

    @property
    def closed(self) -> bool:
        return bool(self._stream.closed)

    def __enter__(self) -> OutputStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def sync(path: str) -> None:
    """Sync a file, or the entries of a directory, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
