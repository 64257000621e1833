"""The client of a topic: librdkafka's consumer with the settings of a declaration, and its errors as ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mainstem.errors import MissingExtra, SourceError, SourceUnreachable, close_matches
from mainstem.masking import masked
from mainstem.nodes.kafka import Kafka
from mainstem.settings import expand
from mainstem.sources.kafka.positions import Bounds

TIMEOUT = 30.0
"""Seconds until a cluster must answer."""
LOOK_TIMEOUT = 5.0
"""Seconds for a check for new messages."""
GROUP = "mainstem"
"""The group of a consumer that assigns itself every partition. It commits no offsets, so all sources share one name."""

DEFAULTS = {
    "client.id": "mainstem",
    "session.timeout.ms": "6000",  # a server that was killed is waited for before its partitions are read again
    "heartbeat.interval.ms": "1500",
}

OWN = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # never a silent jump: an offset that is gone is an error
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "allow.auto.create.topics": False,
    "log_level": 0,  # it writes to standard error; what matters comes as an error
}


@dataclass
class Client:
    """A consumer of one topic. `where` is the place of its errors, `timeout` are the seconds in which the cluster must
    answer. Close it."""

    node: Kafka
    where: str
    consumer: Any
    timeout: float
    said: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, node: Kafka, root: Path, where: str, *, group: str = GROUP, timeout: float | None = None) -> Client:
        """Return a client. Paths of its settings are below `root`. Raises `MissingExtra`, `SourceError`."""
        try:
            from confluent_kafka import Consumer, KafkaException
        except ImportError:
            raise MissingExtra.named("kafka", "confluent-kafka") from None
        said = list[str]()

        def note(error: Any) -> None:
            said.append(masked(f"{error.name()}: {error.str()}"))
            del said[:-5]

        given = {name: setting(name, value, root) for name, value in node.settings.items()}
        config = {**DEFAULTS, "group.id": group, **given, **OWN, "error_cb": note}
        try:
            consumer = Consumer({**config, "bootstrap.servers": expand(node.servers)})
        except KafkaException as error:
            raise SourceError(
                "the Kafka client refuses its settings",
                where=where,
                got=str(error.args[0].str()),
                hint="librdkafka's CONFIGURATION.md says what each setting takes",
            ) from None
        return cls(node, where, consumer, timeout or TIMEOUT, said)

    def close(self) -> None:
        self.consumer.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def partitions(self) -> tuple[str | None, list[int]]:
        """Return the id of the cluster, and the partitions of the topic. Raises `SourceError`."""
        found = self._asked(lambda: self.consumer.list_topics(self.node.topic, timeout=self.timeout))
        topic = found.topics[self.node.topic]
        if topic.error is not None or not topic.partitions:
            raise self._no_topic(topic.error)
        return found.cluster_id, sorted(topic.partitions)

    def bounds(self, partitions: Sequence[int]) -> Bounds:
        """Return where each partition begins and ends now. Transactions that are not finished are beyond the end.

        Raises `SourceError`.
        """
        from confluent_kafka import TopicPartition

        def ask(partition: int) -> tuple[int, int]:
            at = TopicPartition(self.node.topic, partition)
            found: tuple[int, int] = self._asked(lambda: self.consumer.get_watermark_offsets(at, timeout=self.timeout))
            return found

        return {partition: ask(partition) for partition in partitions}

    def unreachable(self, reason: str) -> SourceUnreachable:
        """Return the error for a cluster that does not answer, with what the client said last."""
        told = next((text for text in reversed(self.said) if "uthenticat" in text or "SSL" in text), None)
        return SourceUnreachable(
            "the Kafka cluster cannot be reached",
            where=self.where,
            got=told or (self.said[-1] if self.said else reason),
            expected="an answer",
            hint="check settings= and the secrets in it" if told else "check servers= and the cluster",
        )

    def refused(self, error: Any) -> SourceError:
        """Return the error for an answer of the cluster, given as a `KafkaError`."""
        return SourceError(
            f"the Kafka cluster refuses to deliver {self.node.topic!r}",
            where=self.where,
            got=masked(f"{error.name()}: {error.str()}"),
            hint="the user needs the right to describe and read the topic" if "AUTHORIZATION" in error.name() else None,
        ).passing(bool(error.retriable()))

    def _asked(self, ask: Callable[[], Any]) -> Any:
        from confluent_kafka import KafkaError, KafkaException

        away = (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE)
        try:
            return ask()
        except KafkaException as problem:
            error = problem.args[0]
            self.consumer.poll(0)  # it tells what went wrong before
            if error.code() in away or error.code() == KafkaError._AUTHENTICATION:
                raise self.unreachable(masked(error.str())) from None
            raise self.refused(error) from None

    def _no_topic(self, error: Any) -> SourceError:
        if error is not None and "AUTHORIZATION" in error.name():
            return self.refused(error)
        known = list(self._asked(lambda: self.consumer.list_topics(timeout=self.timeout)).topics)
        near = close_matches(self.node.topic, known)
        return SourceError(f"the topic {self.node.topic!r} does not exist", where=self.where, hint=near)


def setting(name: str, text: str, root: Path) -> str:
    """Return a setting of the client: variables expanded, and a path below the project's directory."""
    value = expand(text)
    is_path = name.endswith((".location", ".keytab")) and not value.startswith(("/", "probe"))
    return str(root / value) if is_path else value
