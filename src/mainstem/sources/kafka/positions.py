"""How far a topic was read: the offset of the next message of each partition. Without the client, for every plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from mainstem.errors import SourceError
from mainstem.nodes.kafka import Kafka

Bounds = Mapping[int, tuple[int, int]]
"""Of each partition the offset of its first message, and the one behind its last message."""


@dataclass(frozen=True)
class Positions:
    """The next offset of each partition of a topic, and the id of the cluster that these offsets belong to."""

    cluster: str | None = None
    offsets: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> Positions:
        """Return the positions that `text` gives; none for None."""
        found = json.loads(text) if text else {}
        return cls(found.get("cluster"), {int(number): at for number, at in found.get("offsets", {}).items()})

    def text(self) -> str:
        offsets = {str(number): self.offsets[number] for number in sorted(self.offsets)}
        return json.dumps({"cluster": self.cluster, "offsets": offsets})

    def belong_to(self, cluster: str | None, where: str) -> None:
        """Raise `SourceError` if the offsets are those of another cluster."""
        if self.cluster is not None and cluster is not None and self.cluster != cluster:
            raise SourceError(
                "the servers are those of another Kafka cluster",
                where=where,
                got=f"cluster {cluster}",
                expected=f"cluster {self.cluster}, whose offsets were read",
                hint="declare a source of another name for it, and unite both in a table",
            )


@dataclass(frozen=True)
class Span:
    """The messages of one partition to read: from the offset `first` to before `end`."""

    partition: int
    first: int
    end: int


def spans(node: Kafka, positions: Positions, bounds: Bounds, where: str) -> tuple[list[Span], str]:
    """Return what is to be read of each partition, and a text about messages that are lost.

    Raises `SourceError` for messages that the topic deleted before they were read, unless the source skips them, and
    for a topic that ends before the offset that was reached.
    """
    found, lost = list[Span](), list[str]()
    for partition, (low, high) in sorted(bounds.items()):
        at = positions.offsets.get(partition)
        if at is None:  # a partition that was added later is read from its beginning
            at = high if node.start == "latest" and not positions.offsets else low
        if at > high:
            raise _shortened(node, partition, at, high, where)
        if at < low:
            lost.append(f"partition {partition}: offsets {at:,} to {low - 1:,}")
            at = low
        found.append(Span(partition, at, high))
    if lost and node.expired == "fail":
        raise expired(node, lost, where)
    return found, f"expired before they were read: {', '.join(lost)}" if lost else ""


def expired(node: Kafka, lost: list[str], where: str) -> SourceError:
    """Return the error for messages that a topic deleted before they were read."""
    return SourceError(
        f"messages of the topic {node.topic!r} were deleted before they were read",
        where=where,
        got=f"no messages at {'; '.join(lost)}",
        expected="the topic's retention to be longer than the time between two reads",
        hint='bring them from elsewhere if you can; expired="skip" goes on at the first message that is left',
    )


def _shortened(node: Kafka, partition: int, at: int, high: int, where: str) -> SourceError:
    return SourceError(
        f"the topic {node.topic!r} ends before the offset that was reached",
        where=where,
        got=f"partition {partition} ends at offset {high:,}",
        expected=f"at least offset {at:,}",
        hint="it was deleted and made again, or lost data: declare a source of another name, and unite both in a table",
    )
