"""Records of what sinks have delivered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from mainstem.nodes.records import now
from mainstem.ports import Snapshot


@dataclass(frozen=True)
class Held:
    """What a target may have: the rows of `snapshots`, by the name of the stored relation, as the definition with this
    `fingerprint` delivers them, by `key`."""

    snapshots: Mapping[str, Snapshot]
    fingerprint: str
    key: tuple[str, ...] = ()

    @property
    def ids(self) -> dict[str, int]:
        """The ids of the snapshots by relation."""
        return {name: snapshot.id for name, snapshot in self.snapshots.items()}

    @property
    def mark(self) -> str:
        """The text that a target keeps with the rows."""
        ids = "+".join(str(id) for _, id in sorted(self.ids.items()))
        short = ids if len(self.snapshots) == 1 else sha256(ids.encode()).hexdigest()[:20]
        return f"{short}-{self.fingerprint}"


@dataclass(frozen=True)
class Delivery:
    """The last delivery of a sink: what the target has was `sent` completely.

    `begun` are deliveries that began and whose end is not known, oldest first. `place` identifies a target that may
    forget its mark, such as a topic of one cluster.
    """

    id: str
    sink: str
    sent: Held | None = None
    begun: tuple[Held, ...] = ()
    place: str = ""
    at: datetime = field(default_factory=now)

    @property
    def held(self) -> tuple[Held, ...]:
        """All that the target may have."""
        return (*([self.sent] if self.sent else []), *self.begun)


def delivery_id(branch: str, sink: str) -> str:
    """Return the id of the record of a sink's last delivery."""
    return f"{branch}/{sink}"
