"""Records of what sinks have delivered."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mainstem.nodes.records import now
from mainstem.ports import Snapshot


@dataclass(frozen=True)
class Delivery:
    """The last delivery of a sink: the `snapshot` that its target has, made with the definition `fingerprint`.

    `begun` is the snapshot of a delivery that began and whose end is not known.
    """

    id: str
    sink: str
    fingerprint: str = ""
    snapshot: Snapshot | None = None
    begun: Snapshot | None = None
    at: datetime = field(default_factory=now)


def delivery_id(branch: str, sink: str) -> str:
    """Return the id of the record of a sink's last delivery."""
    return f"{branch}/{sink}"
