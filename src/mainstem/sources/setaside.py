"""The rows that a collection sets aside: only the newest are in memory, the others in a temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

LIMIT = 10_000
"""The most rows in memory."""


class Unfit(NamedTuple):
    """A row that does not fit the schema: why, where it came from, and the row as it came, as JSON."""

    reason: str
    origin: str
    raw: str


class SetAside:
    """A list of rows that only grows, and is read once in blocks."""

    def __init__(self) -> None:
        self._newest: list[Unfit] = []
        self._file: Any = None
        self._counts: list[int] = []
        self._held = False

    def __len__(self) -> int:
        return sum(self._counts) + len(self._newest)

    def append(self, row: Unfit) -> None:
        """Add a row."""
        self._newest.append(row)
        if len(self._newest) >= LIMIT and not self._held:
            self._write()

    @contextmanager
    def together(self) -> Iterator[list[Unfit]]:
        """Provide the list of the rows that are added meanwhile: they may still be changed in it."""
        before, self._newest, self._held = self._newest, [], True
        try:
            yield self._newest
        finally:
            self._newest, self._held = [*before, *self._newest], False
            if len(self._newest) >= LIMIT:
                self._write()

    def blocks(self) -> Iterator[list[Unfit]]:
        """Yield all rows, some at a time, in their order. The file is gone afterwards."""
        if self._file is not None:
            self._file.seek(0)
            decode = msgspec.msgpack.Decoder(list[Unfit]).decode
            for _ in self._counts:
                size = int.from_bytes(self._file.read(8))
                yield decode(self._file.read(size))
            self._file.close()
            self._file, self._counts = None, []
        if self._newest:
            yield self._newest

    def _write(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="mainstem-aside-")  # noqa: SIM115 - closed by `blocks`
        block = msgspec.msgpack.encode(self._newest)
        self._file.write(len(block).to_bytes(8) + block)
        self._counts.append(len(self._newest))
        self._newest = []
