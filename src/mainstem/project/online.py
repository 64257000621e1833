"""Features as they stand now, read in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

from mainstem.errors import Unavailable
from mainstem.features.instants import instant_of, micros_of
from mainstem.nodes.records import now

if TYPE_CHECKING:
    from mainstem.features.online.view import OnlineView
    from mainstem.project.project import Project

POLL = 1.0
"""Seconds until the branch is looked at again; the server does the same."""


class Online:
    """A feature view's online state. What the branch publishes is followed within a second."""

    def __init__(self, project: Project, name: str) -> None:
        self._project, self._name = project, name
        self._view: OnlineView | None = None
        self._looked = 0.0

    def get(self, keys: Sequence[Mapping[str, Any]], time: datetime | None = None) -> list[dict[str, Any]]:
        """One row per key: its features, `effective` (when the newest event seen became usable), `start` (of the
        longest window) and `missing`, as of `time` (default: now). Instants are UTC. Raises `RequestError`, or
        `Unavailable` before the view is online."""
        online = self._published()
        wanted = [tuple(_plain(row[column]) for column in online.view.key) for row in keys]
        return [
            {
                **values,
                "effective": None if effective is None else instant_of(effective),
                "start": None if start is None else instant_of(start),
                "missing": missing,
            }
            for values, effective, start, missing in online.read(wanted, micros_of(time or now()))
        ]

    def _published(self) -> OnlineView:
        """The state that the branch publishes: to look costs as much as a hundred reads."""
        if self._view is None or monotonic() >= self._looked + POLL:
            self._view, self._looked = self._opened(), monotonic()
        return self._view

    def _opened(self) -> OnlineView:
        from mainstem.features.online.view import OnlineView
        from mainstem.features.plan import compiled

        fingerprint = self._project.claim().online.get(self._name)
        view = compiled(self._project.graph, self._name)
        if fingerprint is None:
            raise Unavailable(f"the view {self._name!r} is not online yet", hint="mainstem run")
        return OnlineView(view, self._project.adapters.store, fingerprint)


def _plain(value: Any) -> Any:
    return micros_of(value) if isinstance(value, datetime) else value
