"""A topic as a target: a message for each row that changed, in one transaction with the mark.

The mark is the metadata of an offset that the transaction commits for a group of the sink's own. So the cluster has the
messages and the mark, or neither. A producer of the same transactional id ends what an earlier one began.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from mainstem.errors import MissingExtra, SinkError
from mainstem.masking import masked
from mainstem.nodes.kafka import Kafka
from mainstem.settings import expand
from mainstem.sources.kafka.client import TIMEOUT, Client, setting
from mainstem.sources.sinks.formats import lines
from mainstem.sources.sinks.load import Load, Sent

CONNECTION = ("security.", "sasl.", "ssl.", "enable.ssl.", "socket.", "reconnect.", "broker.", "client.", "metadata.")
"""The beginnings of settings that a producer takes too."""

PRODUCER = {
    "enable.idempotence": True,
    "transaction.timeout.ms": 900_000,
    "linger.ms": 20,
    "compression.type": "zstd",
}
SETTLING = (
    *("NOT_COORDINATOR", "COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS"),
    *("UNSTABLE_OFFSET_COMMIT", "_WAIT_COORD", "_TIMED_OUT"),
)
"""What a cluster says while it looks for the group, or ends a transaction."""
HELD = 10_000
"""The number of messages after which the producer is asked what became of them."""


class KafkaTarget:
    """The topic that the sink `name` (`project/sink`) writes to."""

    remembers: ClassVar[bool] = False
    keyed: ClassVar[bool] = True

    def __init__(self, node: Kafka, root: Path, name: str) -> None:
        self.node, self.root, self.sink = node, root, name.rpartition("/")[2]
        self.group = f"mainstem-sink-{name.replace('/', '-')}"
        self.where = f"topic {node.topic} of {node.servers}"
        self._failed: Any = None
        self._place = ""
        self._begun: Any = None

    def mark(self) -> str | None:
        """Return the mark of the last transaction. One that was begun before is ended first."""
        with self._producer():
            pass  # it ends a transaction that an earlier producer of the same id began
        with Client.open(self.node, self.root, self.where, group=self.group) as client:
            cluster, _ = client.partitions()
            self._place = f"{cluster or self.node.servers}/{self.node.topic}/{self._topic()}"
            return self._mark(client)

    def place(self) -> str:
        """Return the ids of the cluster and the topic: one that was deleted and made again has no messages."""
        return self._place

    def write(self, load: Load) -> Sent | None:
        """Send a message for each row, and a tombstone for each key that is gone, all of them or none."""
        from confluent_kafka import TopicPartition

        headers = [("mainstem-sink", self.sink.encode()), ("mainstem-snapshot", str(load.snapshot).encode())]
        with self._producer() as producer, Client.open(self.node, self.root, self.where, group=self.group) as client:
            if self._mark(client) != load.has:
                return None
            producer.begin_transaction()
            try:
                rows = self._sent(producer, _messages(load), headers)
                removed = self._sent(producer, _tombstones(load), headers)
                marked = TopicPartition(self.node.topic, 0, 0, load.mark)
                producer.send_offsets_to_transaction([marked], client.consumer.consumer_group_metadata(), TIMEOUT)
                producer.commit_transaction()
            except BaseException:
                self._quietly(producer.abort_transaction)
                raise
        return Sent(rows, removed)

    def _mark(self, client: Client) -> str | None:
        from confluent_kafka import KafkaException, TopicPartition

        end = time.monotonic() + TIMEOUT
        while True:
            try:
                (found,) = client.consumer.committed([TopicPartition(self.node.topic, 0)], timeout=TIMEOUT)
            except KafkaException as problem:
                error = problem.args[0]
                if error.name() not in SETTLING or time.monotonic() > end:
                    raise self._error(error.str()).passing() from None
                time.sleep(0.1)
                continue
            mark: str | None = found.metadata
            return mark if found.offset >= 0 and mark else None

    def _topic(self) -> str:
        """Return the id of the topic. Raises `SinkError`."""
        from confluent_kafka import KafkaException, TopicCollection
        from confluent_kafka.admin import AdminClient

        try:
            admin = AdminClient(self._settings())  # it answers as long as it is referred to
            asked = admin.describe_topics(TopicCollection([self.node.topic]))
            return str(asked[self.node.topic].result(TIMEOUT).topic_id)
        except KafkaException as problem:
            raise self._error(problem.args[0].str()).passing(bool(problem.args[0].retriable())) from None

    def _settings(self) -> dict[str, Any]:
        """Return the settings of a client that is not a consumer."""
        given = {name: value for name, value in self.node.settings.items() if name.startswith(CONNECTION)}
        read = {name: setting(name, value, self.root) for name, value in given.items()}
        return {**read, "bootstrap.servers": expand(self.node.servers), "log_level": 0}

    def _sent(self, producer: Any, messages: Iterator[tuple[bytes, bytes | None]], headers: list[Any]) -> int:
        counted = 0
        for key, value in messages:
            while True:
                try:
                    producer.produce(self.node.topic, value, key, headers=headers, on_delivery=self._note)
                    break
                except BufferError:
                    producer.poll(1.0)
            counted += 1
            if counted % HELD == 0:
                producer.poll(0)
                self._refuse()
        if producer.flush(TIMEOUT * 10):
            raise self._error("the cluster did not take all messages in time").passing()
        self._refuse()
        return counted

    def _note(self, error: Any, message: Any) -> None:
        self._failed = self._failed or error

    def _refuse(self) -> None:
        if self._failed is not None:
            raise self._error(self._failed.str())

    def _error(self, said: str) -> SinkError:
        return SinkError(
            "the Kafka cluster refuses the messages",
            where=self.where,
            got=masked(said),
            hint="the user needs the right to write to the topic, and to its transactional id and group: " + self.group,
        )

    def _quietly(self, call: Callable[[], None]) -> None:
        from confluent_kafka import KafkaException

        try:
            call()
        except KafkaException:
            return  # the next producer of this id ends the transaction

    @contextmanager
    def _producer(self) -> Iterator[Any]:
        """Provide a producer whose id ended the transaction of an earlier one: that of the look at the mark is that of
        the write, because a producer takes half a second to begin. Raises `SinkError`."""
        try:
            from confluent_kafka import KafkaException, Producer
        except ImportError:
            raise MissingExtra.named("kafka", "confluent-kafka") from None
        try:
            if self._begun is None:
                producer = Producer({**self._settings(), **PRODUCER, "transactional.id": self.group})
                producer.init_transactions(TIMEOUT)
                self._begun = producer
            yield self._begun
        except KafkaException as problem:
            self._begun = None
            error = problem.args[0]
            raise self._error(error.str()).passing(bool(error.retriable())) from None


def _messages(load: Load) -> Iterator[tuple[bytes, bytes | None]]:
    for batch in load.rows():
        keys = lines(batch.select(list(load.key)))
        yield from zip(keys, lines(batch), strict=True)


def _tombstones(load: Load) -> Iterator[tuple[bytes, bytes | None]]:
    for batch in load.gone():
        for key in lines(batch):
            yield key, None
