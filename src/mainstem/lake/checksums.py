"""The sha256 of every data file of a lake, written at its commit beside the file.

A sum is a file in the format of `sha256sum`: `cd data && sha256sum -c *.sha256` verifies a table without Mainstem. Its
time of modification is when the data file was last found sound. Hashing runs in a thread beside the commit and the
checks; `settle` waits for it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from mainstem.lake.places.base import Place, relative
from mainstem.ports import Damage, Verification

SUFFIX = ".sha256"


class Checksums:
    """The sums of the lake at a place. Paths are those below its root."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._thread: ThreadPoolExecutor | None = None
        self._begun: list[Future[None]] = []

    def begin(self, paths: Sequence[str]) -> None:
        """Begin to write the sums of data files, which are below the root."""
        if paths:
            self._thread = self._thread or ThreadPoolExecutor(1, "checksums")
            self._begun += [self._thread.submit(self._write, relative(path)) for path in paths]

    def settle(self) -> None:
        """Wait until every sum is written. Raises the `OSError` of one that could not be."""
        begun, self._begun = self._begun, []
        for future in begun:
            future.result()

    def older(self, table: str, before: float) -> dict[str, float]:
        """Return the files of a physical table that were not verified since `before`, each with when it last was."""
        sums = (each for each in self._place.listing(f"tables/{table}/data") if each.name.endswith(SUFFIX))
        return {
            str(self._place.root / each.name.removesuffix(SUFFIX)): each.changed
            for each in sums
            if each.changed < before
        }

    def verify(self, files: Mapping[str, str], until: float | None = None) -> Verification:
        """Hash stored data files (path → table), and compare each with its sum.

        With `until`, an instant of `time.monotonic`, stop there after the file that is being read.
        """
        size, sound, damaged, unrecorded = 0, list[str](), list[Damage](), list[str]()
        for path, table in files.items():
            name = relative(path)
            expected = self._recorded(name)
            got, bytes = self._digest_or_why(name)
            if expected is None and bytes is not None:
                unrecorded.append(path)
                continue
            if bytes is None or got != expected:
                damaged.append(Damage(table, path, expected or "not recorded", got))
            else:
                sound.append(path)
                size += bytes
                self._place.touch(name + SUFFIX)
            if until is not None and time.monotonic() >= until:
                break
        return Verification(tuple(sound), size, tuple(damaged), tuple(unrecorded))

    def _write(self, name: str) -> None:
        """Write a file's sum at once. A power cut may lose it: then the file counts as not recorded, not as damaged."""
        path = self._place.root / name
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        self._place.write(name + SUFFIX, f"{digest}  {path.name}\n".encode())

    def _recorded(self, name: str) -> str | None:
        content = self._place.read(name + SUFFIX)
        if content is None:
            return None
        digest, _, file = content.decode(errors="replace").partition("  ")
        return digest if file.strip() == Path(name).name else None

    def _digest_or_why(self, name: str) -> tuple[str, int | None]:
        """Return the digest of a stored file and its bytes; the reason and None if it cannot be read."""
        hasher, size = hashlib.sha256(), 0
        try:
            with self._place.open(name) as stream:
                while chunk := stream.read(2**20):
                    hasher.update(chunk)
                    size += len(chunk)
        except OSError as problem:
            return problem.strerror or str(problem), None
        return hasher.hexdigest(), size


def sums_of(names: Iterable[str]) -> list[str]:
    """Return the names of the sums of data files."""
    return [name + SUFFIX for name in names]


def is_of(name: str, live: set[str]) -> bool:
    """Return whether a file is the sum of a file of `live`."""
    return name.endswith(SUFFIX) and name.removesuffix(SUFFIX) in live
