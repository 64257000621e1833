"""Small work on the embedded engine, large work on a distributed one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.engines.spark.engine import SparkEngine
from mainstem.ports import Relation, Scan, Session


class BySize:
    """An engine that opens each session where its relations suit.

    A session over stored tables with at least `least` bytes of files is on `large`. Others are on `embedded`. Data of
    this process (files of sources, batches, Arrow) need not travel.
    """

    dialect: ClassVar[str] = "duckdb"

    def __init__(self, embedded: DuckdbEngine, large: SparkEngine, least: int = 1) -> None:
        self._embedded, self._large, self._least = embedded, large, least

    def session(self, relations: Mapping[str, Relation]) -> AbstractContextManager[Session]:
        """Open a session that sees `relations`."""
        return (self._large if self.is_large(relations) else self._embedded).session(relations)

    def is_large(self, relations: Mapping[str, Relation]) -> bool:
        """Return whether the stored tables among these have enough bytes for the distributed engine."""
        left = self._least
        for relation in relations.values():
            for path in relation.files if isinstance(relation, Scan) else ():
                left -= Path(path).stat().st_size
                if left <= 0:
                    return True
        return False

    def part(self, sessions: int) -> BySize:
        """Return the engine for steps of which up to `sessions` run at once."""
        return BySize(self._embedded.part(sessions), self._large, self._least)

    def room(self) -> int:
        """Return how many sessions at once have at least 1 GiB of memory, at least 1."""
        return self._embedded.room()

    def interrupt(self) -> None:
        """Interrupt all open sessions, from any thread."""
        self._embedded.interrupt()
        self._large.interrupt()
