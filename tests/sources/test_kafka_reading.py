"""What a reader does with the client's errors, without a broker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError

from mainstem.sources.kafka.positions import Span
from mainstem.sources.kafka.reading import Reader


class Message:
    """A message of partition 0, or an error of it, as the client gives them."""

    def __init__(self, offset: int, code: int | None = None) -> None:
        self._offset, self._code = offset, code

    def partition(self) -> int:
        return 0

    def error(self) -> Any:
        return None if self._code is None else KafkaError(self._code)

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 0

    def headers(self) -> None:
        return None

    def key(self) -> None:
        return None

    def value(self) -> bytes:
        return b"{}"

    def topic(self) -> str:
        return "sales"


class Consumer:
    """Gives prepared answers, one each time."""

    def __init__(self, *answers: list[Message]) -> None:
        self.answers = list(answers)

    def assign(self, partitions: Any) -> None: ...

    def incremental_unassign(self, partitions: Any) -> None: ...

    def consume(self, count: int, wait: float) -> list[Message]:
        return self.answers.pop(0)


def test_an_error_that_passes_does_not_end_a_partition() -> None:
    lost = Message(0, KafkaError._TRANSPORT)
    consumer = Consumer([Message(0), lost], [lost], [Message(1), Message(2)])
    client: Any = SimpleNamespace(consumer=consumer, node=SimpleNamespace(topic="sales"))
    reader = Reader(client, [Span(0, 0, 3)])
    assert [message.offset for batch in reader.batches() for message in batch] == [0, 1, 2]
    assert reader.offsets == {0: 3}
