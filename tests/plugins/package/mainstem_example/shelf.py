"""A store: LMDB in a directory of its own for each branch, below the directory that the URL names."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

from mainstem.settings import Settings
from mainstem.stores.lmdb import LmdbStore


class ShelfStore(LmdbStore):
    """The store of a branch at `shelf://DIRECTORY`."""

    def __init__(self, settings: Settings, branch: str) -> None:
        self._shelf = settings.root / settings.profile.online.removeprefix("shelf://")
        self._own = self._place(branch)
        super().__init__(self._own, sync=False)

    @property
    def begun(self) -> bool:
        sizes = self.sizes()
        return bool(sizes.spaces or sizes.logs)

    def fork(self, origin: str) -> None:  # type: ignore[override]
        if self.begun or not self._place(origin).exists():
            return
        other = LmdbStore(self._place(origin))
        sizes = other.sizes()
        logs = {log: list(other.entries(log, 0)) for log in sizes.logs}
        for log, entries in logs.items():
            self.begin(log, entries[0][0] if entries else other.end(log))
        with self.transaction() as writer:
            for space in sizes.spaces:
                for page in other.scan(space):
                    writer.put_many(space, dict(page))
            for log, entries in logs.items():
                offsets = [offset for offset, _ in entries]
                sizes = [after - offset for offset, after in pairwise([*offsets, other.end(log)])]
                writer.append(log, [payload for _, payload in entries], sizes)
        other.close()

    def drop(self) -> None:
        shutil.rmtree(self._own)
        self.renew()

    def _place(self, branch: str) -> Path:
        return self._shelf / branch.replace("/", "__")
