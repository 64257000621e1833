"""Kafka topics: messages from where the last run ended, up to the end that the topic has when the run begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.graph.fingerprint import digest
from mainstem.nodes.kafka import Kafka, part_type
from mainstem.ports import Engine
from mainstem.sources.extraction import Extraction, Request
from mainstem.sources.kafka.positions import Positions, spans
from mainstem.sources.kind import SourceKind

if TYPE_CHECKING:
    import pyarrow as pa

    from mainstem.sources.evolution import Shape

SAMPLE = 1_000
"""The number of messages that tell the columns of a source without a declared schema."""


class KafkaKind(SourceKind[Kafka]):
    """A topic. The cursor is the next offset of each partition, so it commits with the rows."""

    node_type = Kafka

    def extract(self, request: Request) -> Extraction:
        from mainstem.sources.arrow import arrow_schema

        node: Kafka = request.node
        reached = Positions.parse(request.cursor)
        counted = Counter[str]()
        said = list[str]()
        schema = arrow_schema(request.schema)

        def batches() -> Iterator[pa.RecordBatch]:
            from mainstem.sources.kafka.client import Client
            from mainstem.sources.kafka.reading import Reader
            from mainstem.sources.kafka.records import Records

            nonlocal reached
            with Client.open(node, request.root, request.where) as client:
                cluster, partitions = client.partitions()
                reached.belong_to(cluster, request.where)
                found, lost = spans(node, reached, client.bounds(partitions), request.where)
                said.extend([lost] if lost else [])
                reader, records = Reader(client, found), Records(node, request.shape, counted)
                rows = 0
                for messages in reader.batches():
                    yield from records.batches(messages)
                    rows += len(messages)
                    request.report(f"{rows:,} messages")
                reached = Positions(cluster, {**reached.offsets, **reader.offsets})

        def message() -> str:
            skipped = counted["tombstones"]
            told = f"{skipped:,} tombstone{'s' if skipped > 1 else ''} left out" if skipped else ""
            return "; ".join(filter(None, (*said, told)))

        return replace(Extraction.appending(batches(), schema, lambda: reached.text()), message=message)

    def introspect(self, source: Kafka, root: Path, engine: Engine) -> Mapping[str, str]:
        from mainstem.sources.kafka.records import types_of

        parts = {column: part_type(part) for column, part in source.message.items()}
        if source.schema is not None:
            return {**source.schema, **parts}
        return {**types_of(source, root, SAMPLE), **parts}

    def observe(self, source: Kafka, root: Path, cursor: str | None) -> str | None:
        from mainstem.sources.kafka.client import LOOK_TIMEOUT, Client

        with Client.open(source, root, source.topic, timeout=LOOK_TIMEOUT) as client:
            cluster, partitions = client.partitions()
            ends = {number: high for number, (_, high) in client.bounds(partitions).items()}
        return digest(str(cluster), repr(sorted(ends.items())))

    def identity(self, source: Kafka) -> Mapping[str, Any]:
        return {"topic": source.topic}

    def again(self, records: Sequence[Mapping[str, Any]], shape: Shape) -> Iterator[pa.RecordBatch]:
        from mainstem.sources.kafka.messages import Message
        from mainstem.sources.kafka.records import Records

        node: Any = shape.node
        yield from Records(node, shape, Counter()).batches([Message.parse(each) for each in records])
