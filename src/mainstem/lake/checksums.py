"""The sha256 of every data file of a lake, written at its commit beside the file.

A sum is a file in the format of `sha256sum`: `cd data && sha256sum -c *.sha256` verifies a table without Mainstem. Its
time of modification is when the data file was last found sound. Hashing runs in a thread beside the commit and the
checks; `settle` waits for it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from mainstem.ports import Damage, Verification

SUFFIX = ".sha256"


class Checksums:
    """The sums of the lake at `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._thread: ThreadPoolExecutor | None = None
        self._begun: list[Future[None]] = []

    def begin(self, paths: Sequence[str]) -> None:
        """Begin to write the sums of data files."""
        if paths:
            self._thread = self._thread or ThreadPoolExecutor(1, "checksums")
            self._begun += [self._thread.submit(_write, Path(path)) for path in paths]

    def settle(self) -> None:
        """Wait until every sum is written. Raises the `OSError` of one that could not be."""
        begun, self._begun = self._begun, []
        for future in begun:
            future.result()

    def older(self, table: str, before: float) -> dict[str, float]:
        """Return the files of a physical table that were not verified since `before`, each with when it last was."""
        sums = (self._root / "tables" / table / "data").glob(f"*{SUFFIX}")
        return {_of(path): verified for path, verified in _times(sums) if verified < before}

    def verify(self, files: Mapping[str, str], until: float | None = None) -> Verification:
        """Hash data files (path → table), and compare each with its sum.

        With `until`, an instant of `time.monotonic`, stop there after the file that is being read.
        """
        size, sound, damaged, unrecorded = 0, list[str](), list[Damage](), list[str]()
        for path, table in files.items():
            expected = _recorded(Path(path))
            if expected is None and Path(path).exists():
                unrecorded.append(path)
                continue
            got = _digest_or_why(Path(path))
            if got != expected:
                damaged.append(Damage(table, path, expected or "not recorded", got))
            else:
                sound.append(path)
                size += Path(path).stat().st_size
                with suppress(FileNotFoundError):
                    os.utime(path + SUFFIX)
            if until is not None and time.monotonic() >= until:
                break
        return Verification(tuple(sound), size, tuple(damaged), tuple(unrecorded))


def is_of(path: Path, live: set[str], name: str) -> bool:
    """Return whether a file (its path from the lake's root is `name`) is the sum of a file of `live`."""
    return path.suffix == SUFFIX and name.removesuffix(SUFFIX) in live


def _of(path: Path) -> str:
    return str(path).removesuffix(SUFFIX)


def _times(paths: Iterator[Path]) -> Iterator[tuple[Path, float]]:
    for path in paths:
        with suppress(FileNotFoundError):
            yield path, path.stat().st_mtime


def _write(path: Path) -> None:
    """Write a file's sum at once. A power cut may lose it: then the file counts as not recorded, not as damaged."""
    draft = path.with_name(f".{path.name}{SUFFIX}")
    draft.write_text(f"{_digest(path)}  {path.name}\n")
    draft.replace(path.with_name(f"{path.name}{SUFFIX}"))


def _recorded(path: Path) -> str | None:
    try:
        digest, _, name = path.with_name(f"{path.name}{SUFFIX}").read_text(errors="replace").partition("  ")
    except FileNotFoundError:
        return None
    return digest if name.strip() == path.name else None


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest_or_why(path: Path) -> str:
    try:
        return _digest(path)
    except OSError as problem:
        return problem.strerror or str(problem)
