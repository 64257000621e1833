"""What was notified, so that each change of a state is notified once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mainstem.nodes.records import now


@dataclass(frozen=True)
class Notified:
    """The last state of a subject that a receiver was told of: `fine` or `failing`.

    The id has a hash of the receiver's URL and the subject: `run`, or an endpoint and its monitor.
    """

    id: str
    subject: str
    state: str
    at: datetime = field(default_factory=now)
