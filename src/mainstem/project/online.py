"""Current online features, read in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

from mainstem.errors import RequestError
from mainstem.nodes.base import shown
from mainstem.nodes.instants import micros_of

if TYPE_CHECKING:
    from mainstem.features.online.rows import FeatureRow
    from mainstem.project.branch import Branch
    from mainstem.serving.features import FeatureReader

_ONE = '.get([{"origin": "JFK"}])'

Rows = Sequence[Mapping[str, Any]]

POLL = 1.0
"""Seconds between checks of the branch, as in the server."""


class Online:
    """A feature view online. A new release is followed within a second."""

    def __init__(self, branch: Branch, name: str) -> None:
        self._views = OnlineViews(branch, (name,))
        self._name = name

    def get(self, keys: Rows, time: datetime | None = None) -> list[FeatureRow]:
        """Return a row for each of `keys` at `time` (default: now).

        A row is a mapping of the features. It also has the time of the newest event, the coverage of each window, and
        the definition it was computed by.

        Raises `RequestError` for an invalid key and for a time that is too early, and `Unavailable` if the view is not
        online.
        """
        return self._views.read(keys, time)[self._name]


class OnlineViews:
    """Several feature views online. A new release is followed within a second."""

    def __init__(self, branch: Branch, names: Sequence[str]) -> None:
        self._project, self._names = branch, tuple(names)
        self._reader: FeatureReader | None = None
        self._looked = 0.0

    def get(self, keys: Rows, time: datetime | None = None) -> list[dict[str, FeatureRow]]:
        """Return for each of `keys` (which have the keys of all views) the row of each view, as `Online.get` does.

        All rows come from one consistent view of the store, in one round trip.
        """
        found = self.read(keys, time)
        return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]

    def read(self, keys: Rows, time: datetime | None) -> dict[str, list[FeatureRow]]:
        """Return the rows of each view."""
        at = None if time is None else _micros(time)
        return self._published().read(self._names, _rows(keys), at)

    def _published(self) -> FeatureReader:
        """Return the published release. Checking the branch costs as much as a hundred reads, so it is cached."""
        if self._reader is None or monotonic() >= self._looked + POLL:
            self._reader, self._looked = self._opened(), monotonic()
        return self._reader

    def _opened(self) -> FeatureReader:
        from mainstem.serving.features import FeatureReader

        reader = FeatureReader(self._project.graph, self._project.claim(), self._project.adapters.store)
        for name in self._names:
            reader.view(name)
        return reader


def _rows(keys: Any) -> list[dict[str, Any]]:
    """Return the requested keys. Raises `RequestError` unless they are a list of mappings."""
    try:
        if not isinstance(keys, (Mapping, str)):
            return [dict(row) for row in keys]
    except (TypeError, ValueError):
        pass
    raise RequestError(
        "the keys must be a list", got=shown(keys), expected="a list with a mapping for each key", hint=_ONE
    )


def _micros(time: Any) -> int:
    """Return the requested instant in µs. Raises `RequestError` without a time zone."""
    if not isinstance(time, datetime) or time.utcoffset() is None:
        naive = isinstance(time, datetime)
        raise RequestError(
            "the time has no time zone" if naive else "the time of a read is not an instant",
            got=str(time) if naive else shown(time),
            expected="a datetime with a time zone, such as UTC",
            hint="datetime(2013, 12, 1, 12, tzinfo=UTC)",
        )
    return micros_of(time)
