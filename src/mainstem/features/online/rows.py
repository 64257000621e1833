"""The result of an online read: feature values with their origin."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mainstem.features.instants import ALWAYS
from mainstem.features.online.state import Reading
from mainstem.features.views.view import CompiledView
from mainstem.nodes.instants import instant_of


class FeatureRow(dict[str, Any]):
    """A view's features of one key at one time: a dictionary, with attributes for their origin.

    `fingerprint` is that of the definition that the state was built with. Instants are in UTC.
    """

    __slots__ = ("_key", "_of", "_reading", "_t", "fingerprint")

    def __init__(self, of: CompiledView, key: Mapping[str, Any], t: int, reading: Reading, fingerprint: str) -> None:
        """Create a reading at `t` (µs). The attributes are computed on access."""
        super().__init__(reading.values)
        for name in of.instants:
            self[name] = _told(self[name])
        self._of, self._key, self._t, self._reading, self.fingerprint = of, key, t, reading, fingerprint

    @property
    def view(self) -> str:
        """The view's name."""
        return self._of.name

    @property
    def key(self) -> dict[str, Any]:
        """The values of the view's key columns."""
        kinds = self._of.key
        return {name: _told(self._key[name]) if _is_instant(kind) else self._key[name] for name, kind in kinds.items()}

    @property
    def time(self) -> datetime:
        """The requested time."""
        return instant_of(self._t)

    @property
    def effective(self) -> datetime | None:
        """When the newest visible event became usable. None if no event is visible or all were always known."""
        found = self._reading.effective
        return None if found == ALWAYS else _told(found)

    @property
    def windows(self) -> dict[str, tuple[datetime | None, datetime]]:
        """The range that each window covers, from its first instant to the time of the read."""
        return {window.text: (_told(window.start(self._t)), self.time) for window in self._of.windows}

    @property
    def missing(self) -> bool:
        """Whether the key is unknown, or has no event in its longest window."""
        return self._reading.missing

    def __repr__(self) -> str:
        return f"FeatureRow({self.view}, {self.key}, {dict(self)}, effective={self.effective}, missing={self.missing})"


def _is_instant(kind: str) -> bool:
    return kind.startswith("timestamp")


def _told(micros: int | None) -> datetime | None:
    """Return an instant; None outside the years 1 to 9999."""
    try:
        return None if micros is None else instant_of(micros)
    except OverflowError:
        return None
