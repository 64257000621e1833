"""Outcomes of fits on disk, so that a search that was killed goes on where it was.

A search with a fixed seed asks for the same trials in the same order. It is repeated from the beginning, and outcomes
that are on disk are read instead of fitted. Each outcome is a file that appears in one step, so a kill leaves no file
that is half written. Optuna's own storages keep trials without their scores, which ensembles need, and a sampler that
goes on with them draws other numbers than one that was not interrupted.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4
from zipfile import BadZipFile

import numpy as np

from mainstem.graph.fingerprint import digest
from mainstem.models.evaluation.comparison import Outcome


@dataclass(frozen=True, eq=False)
class Memory:
    """A directory of outcomes, one file for each candidate with settings and fold; None keeps nothing."""

    directory: Path | None = None

    def part(self, name: str) -> Memory:
        """Return the memory of one search of several."""
        return self if self.directory is None else Memory(self.directory / name)

    def recall(self, key: Sequence[str]) -> Outcome | None:
        """Return an outcome; None if it was not kept, or cannot be read."""
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                settings = dict(zip(found["names"].tolist(), found["values"].tolist(), strict=True))
                return Outcome(
                    float(found["value"]), found["scores"], settings, float(found["seconds"]), float(found["work"])
                )
        except (OSError, ValueError, KeyError, BadZipFile):
            return None

    def keep(self, key: Sequence[str], found: Outcome) -> None:
        """Keep an outcome. A disk that is full does not end the search."""
        path = self._path(key)
        if path is None:
            return
        draft = path.with_name(f".{uuid4().hex}.npz")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(
                draft,
                value=found.value,
                scores=found.scores,
                seconds=found.seconds,
                work=found.work,
                names=np.array(list(found.settings), np.str_),
                values=np.array(list(found.settings.values()), float),
            )
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove what was kept."""
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _path(self, key: Sequence[str]) -> Path | None:
        return None if self.directory is None else self.directory / f"{digest(*key)}.npz"


def memory_of(home: Path | None, *key: str) -> Memory:
    """Return the memory of a search below `home`, and remove those with another key: they cannot be gone on with."""
    if home is None:
        return Memory()
    wanted = digest(*key)
    for other in home.iterdir() if home.is_dir() else ():
        if other.name != wanted:
            shutil.rmtree(other, ignore_errors=True)
    return Memory(home / wanted)
