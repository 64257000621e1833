"""The topics that feed streams while the server runs: one thread for each takes messages into log and features.

A message is taken by one transaction of the online store, with its offset: see `mainstem.streaming.topics`. The group
of a topic's readers divides the partitions among servers that share a store; its offsets in Kafka only show the lag.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from mainstem.errors import MainstemError, NotFound, SourceError, Unavailable
from mainstem.logs import reached
from mainstem.nodes.kafka import Kafka
from mainstem.ports import Writer
from mainstem.serving.service import Service
from mainstem.sources.kafka.client import Client
from mainstem.sources.kafka.messages import Decode, Message
from mainstem.sources.kafka.positions import Positions, expired, spans
from mainstem.streaming.drafts import topic_positions
from mainstem.streaming.topics import Landing, Result, Taken, decoder, taken

logger = logging.getLogger(__name__)

ROWS = 2_000
"""The most messages of a transaction."""
WAIT = 0.2
"""Seconds that a reader waits for a message before it looks whether it is to stop."""
MEASURE = 1.0
"""Seconds between measurements of the lag."""
LONGEST = 30.0
"""Seconds between two attempts to read a topic, at most; 0.5 at first."""


class Feeders:
    """The readers of all topics that feed streams of a service. Paths of their settings are below `root`."""

    def __init__(self, service: Service, root: Path) -> None:
        self._service, self._root = service, root
        self._running: dict[str, Feeder] = {}
        self._turn, self._closed = threading.Lock(), False

    @property
    def troubles(self) -> Mapping[str, MainstemError]:
        """Why topics cannot be read now, by stream."""
        return {name: each.trouble for name, each in dict(self._running).items() if each.trouble is not None}

    def refresh(self) -> None:
        """Begin to read the topics of streams that the live release has. Those of other declarations end."""
        if not self._service.live.release.id:
            return
        found = {name: ingest.stream.from_ for name, ingest in self._service.live.ingests.items()}
        wanted = {name: node for name, node in found.items() if isinstance(node, Kafka)}
        with self._turn:
            feeders = self._running.items()
            self._end(n for n, each in feeders if n not in wanted or access(wanted[n]) != access(each.node))
            for name, node in wanted.items():
                if name not in self._running and not self._closed:
                    self._running[name] = Feeder(self._service, self._root, name, node)

    def close(self) -> None:
        """Finish the transactions under way, and leave the groups."""
        with self._turn:
            self._closed = True
            self._end(self._running)

    def _end(self, names: Iterable[str]) -> None:
        ended = list(names)
        for name in ended:
            self._running[name].stop()
        for name in ended:
            self._running.pop(name).join()


class Feeder:
    """Reads the topic `node` into the stream `name`, in a thread, until it is stopped."""

    def __init__(self, service: Service, root: Path, name: str, node: Kafka) -> None:
        self.trouble: MainstemError | None = None
        self.node = node
        self._away = False
        self._service, self._root, self._name = service, root, name
        self._where = f"stream {name}, topic {node.topic}"
        self._stopping = threading.Event()
        self._at: dict[int, int] = {}
        self._measured = 0.0
        self._thread = threading.Thread(target=self._run, name=f"topic-{name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        pause = 0.5
        while not self._stopping.is_set():
            try:
                self._consume()
            except Exception as error:
                self._troubled(error)
            self._left(list(self._at))
            pause = 0.5 if self.trouble is None else min(pause * 2, LONGEST)
            self._stopping.wait(pause)

    def _troubled(self, error: Exception) -> None:
        known = error if isinstance(error, MainstemError) else SourceError(str(error) or type(error).__name__)
        if self.trouble is None or str(self.trouble) != str(known):
            trace = None if isinstance(error, MainstemError) else error
            logger.error("the topic of the stream %s cannot be read: %s", self._name, known, exc_info=trace)
        self.trouble = known
        self._service.metrics.topic_up(self._name, False)

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────

    def _consume(self) -> None:
        """Read until the feeder is stopped. Raises whatever ends the read; no message is lost or repeated then."""
        self._service.live.ingest(self._name)
        decode = decoder(self.node)
        branch = self._service.live.release.branch
        group = f"mainstem-{self._service.project}-{branch}-{self._name}"
        with Client.open(self.node, self._root, self._where, group=group) as client:
            cluster, _ = client.partitions()
            stored = reached.cluster_of(self._service.store, self._name, self.node.topic)
            Positions(stored).belong_to(cluster, self._where)
            landing = Landing(self._name, self.node.topic, cluster)
            client.consumer.subscribe(
                [self.node.topic],
                on_assign=lambda consumer, parts: self._assigned(client, landing, cluster, parts),
                on_revoke=lambda consumer, parts: self._left(part.partition for part in parts),
                on_lost=lambda consumer, parts: self._left(part.partition for part in parts),
            )
            while not self._stopping.is_set():
                got = client.consumer.consume(1, WAIT)
                got += client.consumer.consume(ROWS - 1, 0) if got else []
                messages, ends = self._sorted(client, got)
                if ends:
                    self._take(landing, messages, ends, decode)
                self._measure(client)

    def _assigned(self, client: Client, landing: Landing, cluster: str | None, parts: Sequence[Any]) -> None:
        """Begin where the store says. Offsets in Kafka count for nothing.

        Partitions without an offset get one together, whoever reads them: else those that another server finds later
        would count as new beside the others.
        """
        from confluent_kafka import TopicPartition

        topic, numbers = self.node.topic, [part.partition for part in parts]
        every = sorted({*client.partitions()[1], *numbers})
        stored = reached.read(self._service.store, self._name, topic, every)
        wanted = sorted({*numbers, *(number for number in every if number not in stored)})
        if not stored:  # the online store is new, or was lost: the lake may know more
            stored = dict(self._drained(cluster))
        bounds = client.bounds(wanted)
        found, lost = spans(self.node, Positions(cluster, stored), bounds, self._where)
        if lost:
            logger.error("%s: %s", self._where, lost)

        def note(writer: Writer) -> dict[int, int]:
            return landing.begin(writer, found, bounds)

        known = self._service.committer.submit(note).result()
        self._at |= {number: known[number] for number in numbers}
        begin = [TopicPartition(topic, number, self._at[number]) for number in numbers]
        if "cooperative" not in self.node.settings.get("partition.assignment.strategy", ""):
            client.consumer.assign(begin)
        elif begin:
            client.consumer.incremental_assign(begin)
        self._alive()  # also without a partition, which has no message to say so

    def _drained(self, cluster: str | None) -> Mapping[int, int]:
        held = self._service.live.release.tables.get(self._name)
        positions = topic_positions(held, self.node.topic)
        positions.belong_to(cluster, self._where)
        return positions.offsets

    def _left(self, partitions: Iterable[int]) -> None:
        """Forget partitions that another server may read now."""
        for number in partitions:
            self._at.pop(number, None)
            self._service.metrics.topic_left(self._name, self.node.topic, number)

    def _sorted(self, client: Client, got: Sequence[Any]) -> tuple[list[Message], dict[int, int]]:
        """Return the messages among what the client delivered, and the next offset of each partition."""
        from confluent_kafka import KafkaError

        messages, ends = list[Message](), dict[int, int]()
        for found in got:
            error = found.error()
            if error is None:
                if found.partition() in self._at:  # it may have moved to another server since it was fetched
                    messages.append(Message.of(found))
                    ends[found.partition()] = found.offset() + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._alive()
                if (found.offset() or 0) > self._at.get(
                    found.partition(), sys.maxsize
                ):  # behind the markers of transactions
                    ends[found.partition()] = max(found.offset(), ends.get(found.partition(), 0))
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise self._expired(client, found.partition())
            elif not error.retriable() and error.code() not in _PASSING:
                raise client.refused(error)
            else:
                self._away = True
                self._service.metrics.topic_up(self._name, False)
        return messages, ends

    def _expired(self, client: Client, partition: int) -> SourceError:
        low = client.bounds([partition])[partition][0]
        lost = f"partition {partition}: offsets {self._at.get(partition, 0):,} to {low - 1:,}"
        return expired(self.node, [lost], self._where)

    # ── taking ────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, landing: Landing, messages: Sequence[Message], ends: Mapping[int, int], decode: Decode) -> None:
        """Take messages in one transaction, and return when it is on disk. Before a release can take events, wait."""
        while not self._stopping.is_set():
            try:
                found = taken(messages, self._service.live.ingest(self._name), self.node, decode)
            except (Unavailable, NotFound) as error:
                self._troubled(error)
                self._stopping.wait(WAIT)
                continue
            result = self._service.committer.submit(self._writing(landing, found, ends)).result()
            self._at |= {number: at for number, at in ends.items() if number in self._at}
            self._service.metrics.topic_taken(self._name, result.events, result.letters, result.skipped)
            self._alive()
            return

    def _writing(self, landing: Landing, found: Sequence[Taken], ends: Mapping[int, int]) -> Callable[[Writer], Result]:
        expected = dict(self._at)

        def write(writer: Writer) -> Result:
            return landing.write(
                writer, found, ends, expected, lambda own, events: self._service.ingesting(self._name, events)(own)
            )

        return write

    def _alive(self) -> None:
        if self.trouble is not None:
            logger.info("the topic of the stream %s is read again", self._name)
        self.trouble, self._away = None, False
        self._service.metrics.topic_up(self._name, True)

    def _measure(self, client: Client) -> None:
        """Publish the lag, and show it to Kafka's own tools: the offsets there are of no other use."""
        from confluent_kafka import KafkaException, TopicPartition

        if time.monotonic() < self._measured + MEASURE:
            return
        self._measured = time.monotonic()
        if self._away or client.said:
            self._look(client)
        if not self._at:
            return
        topic, offsets = self.node.topic, list[Any]()
        for number, at in self._at.items():
            high = client.consumer.get_watermark_offsets(TopicPartition(topic, number), cached=True)[1]
            if high >= 0:
                self._service.metrics.topic_lag(self._name, topic, number, max(0, high - at))
            offsets.append(TopicPartition(topic, number, at))
        try:
            client.consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException:
            logger.debug("the offsets of %s could not be shown to Kafka", topic)

    def _look(self, client: Client) -> None:
        """Ask whether the cluster is there, after the client told of an error: a topic without messages does not."""
        from confluent_kafka import KafkaException

        client.said.clear()
        try:
            client.consumer.list_topics(self.node.topic, timeout=MEASURE)
        except KafkaException:
            self._away = True
            self._service.metrics.topic_up(self._name, False)
        else:
            self._alive()


def access(node: Kafka) -> dict[str, Any]:
    """Return what a reader of a topic goes by."""
    return {f.name: getattr(node, f.name) for f in fields(node) if f.name != "origin"}


_PASSING = (-195, -187, -193, -185)
"""Of a broker that is away: `_TRANSPORT`, `_ALL_BROKERS_DOWN`, `_RESOLVE`, `_TIMED_OUT`. The client connects again."""
