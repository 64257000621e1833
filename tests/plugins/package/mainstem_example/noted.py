"""An engine: DuckDB, and a file that notes each session."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.ports import Relation, Session
from mainstem.settings import Settings


class NotedEngine(DuckdbEngine):
    """Made of a project's settings, as every engine of a package is."""

    def __init__(self, settings: Settings) -> None:
        lake = settings.path(settings.profile.lake)
        super().__init__(threads=settings.profile.threads, directories=[lake])
        self._notes = settings.root / "sessions.txt"

    def session(self, relations: Mapping[str, Relation]) -> AbstractContextManager[Session]:
        with self._notes.open("a") as notes:
            notes.write(f"{', '.join(relations)}\n")
        return super().session(relations)
