"""Quotas: how often an option was taken in a window of prediction times. The counts are in the online store.

The count of a window is in one of `KEPT` slots, which a later window takes over. So the store does not grow, and
nothing is ever deleted. A window whose slot a later one has counts as exhausted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from mainstem.nodes.decisions import Quota

KEPT = 1_000
"""The number of windows whose counts are kept, for each option."""

Read = Callable[[str, Sequence[bytes]], list[bytes | None]]
"""Returns the values of keys in a space, such as `OnlineStore.read`."""


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """The number of times that an option was taken in a window: `window` times the quota's duration after 1970."""

    window: int
    taken: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Slot).decode


@dataclass
class Counts:
    """The counts of an endpoint's quotas, as one transaction or one read sees them. `changed` is to be stored."""

    endpoint: str
    at_most: Mapping[str, Quota]
    read: Read
    changed: dict[bytes, bytes] = field(default_factory=dict)
    _seen: dict[bytes, Slot] = field(default_factory=dict)

    @property
    def space(self) -> str:
        return f"quotas/{self.endpoint}"

    def at(self, time: int) -> dict[str, int]:
        """Return how often each limited option was taken in the window of a time (µs)."""
        return {option: self._slot(option, time)[1].taken for option in self.at_most}

    def take(self, option: str, time: int) -> None:
        """Count an option. One without a quota is not counted."""
        if option in self.at_most:
            key, slot = self._slot(option, time)
            if slot.window < self._seen[key].window:  # a later window has taken its place
                return
            self._seen[key] = Slot(slot.window, slot.taken + 1)
            self.changed[key] = _encode(self._seen[key])

    def _slot(self, option: str, time: int) -> tuple[bytes, Slot]:
        quota = self.at_most[option]
        window = time // quota.every
        key = f"{option}/{quota.every}/{window % KEPT}".encode()
        if key not in self._seen:
            (raw,) = self.read(self.space, [key])
            self._seen[key] = Slot(window, 0) if raw is None else _decode(raw)
        held = self._seen[key]
        if held.window > window:
            return key, Slot(window, quota.count)
        return key, held if held.window == window else Slot(window, 0)
