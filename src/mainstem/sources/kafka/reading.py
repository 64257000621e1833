"""Read the messages of some spans of a topic, in batches of limited size."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from mainstem.sources.kafka.client import Client
from mainstem.sources.kafka.messages import Message
from mainstem.sources.kafka.positions import Span, expired

ROWS = 10_000
"""The most messages of a batch."""
BYTES = 8_388_608
"""The bytes of values after which a batch ends."""
WAIT = 0.2
"""Seconds until the client returns fewer messages than it was asked for."""
STALL = 60.0
"""Seconds without a message after which a cluster counts as unreachable."""


class Reader:
    """Reads spans. `offsets` are those of the next messages, as far as batches were taken."""

    def __init__(self, client: Client, spans: Sequence[Span]) -> None:
        self._client, self._topic = client, client.node.topic
        self.offsets = {span.partition: span.first for span in spans}
        self._open = {span.partition: span.end for span in spans if span.first < span.end}
        self._size = 100

    def batches(self) -> Iterator[list[Message]]:
        """Yield the messages. Raises `SourceError`."""
        from confluent_kafka import TopicPartition

        begin = [TopicPartition(self._topic, number, self.offsets[number]) for number in self._open]
        if begin:
            self._client.consumer.assign(begin)
        batch, size, heard = list[Message](), 0, time.monotonic()
        while self._open:
            got = self._client.consumer.consume(self._size, WAIT)
            if got:
                heard = time.monotonic()
            elif time.monotonic() - heard > STALL:
                raise self._client.unreachable(f"no message for {STALL:.0f} seconds")
            new = [message for found in got if (message := self._taken(found)) is not None]
            size += sum(len(message.value or b"") for message in new)
            batch += new
            if batch and (len(batch) >= ROWS or size >= BYTES):
                self._size = max(1, min(ROWS // 2, BYTES // max(1, size // len(batch)) // 2))
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _taken(self, found: Any) -> Message | None:
        """Return a message if it is within its span."""
        from confluent_kafka import KafkaError

        partition, error = found.partition(), found.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            self._refuse(partition, error)
            return None  # one that passes: the client goes on with the partition
        if partition not in self._open or error is not None:
            # An end that is not the span's: what follows it is part of a transaction that is not finished.
            self._close(partition, found.offset())
            return None
        if found.offset() >= self._open[partition]:
            self._close(partition, self._open[partition])
            return None
        self.offsets[partition] = found.offset() + 1
        if self.offsets[partition] >= self._open[partition]:
            self._close(partition, self.offsets[partition])
        return Message.of(found)

    def _close(self, partition: int, offset: int | None) -> None:
        """End the read of a partition. The last offsets may be those of markers, which are not delivered."""
        from confluent_kafka import TopicPartition

        if partition in self._open:
            self.offsets[partition] = max(self.offsets[partition], min(offset or 0, self._open.pop(partition)))
            self._client.consumer.incremental_unassign([TopicPartition(self._topic, partition)])

    def _refuse(self, partition: int, error: Any) -> None:
        from confluent_kafka import KafkaError

        if error.code() == KafkaError._AUTO_OFFSET_RESET and partition in self.offsets:
            low = self._client.bounds([partition])[partition][0]
            lost = f"partition {partition}: offsets {self.offsets[partition]:,} to {low - 1:,}"
            raise expired(self._client.node, [lost], self._client.where)
        passing = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT)
        if error.code() not in passing and not error.retriable():
            raise self._client.refused(error)
