"""Messages as Arrow batches in the columns of a source. A message that is no record is set aside as it came."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mainstem.errors import SourceError
from mainstem.nodes.kafka import Kafka, part_type
from mainstem.sources.arrow import arrow_schema, fit, from_records
from mainstem.sources.evolution import Shape
from mainstem.sources.inference import type_of
from mainstem.sources.kafka.client import Client
from mainstem.sources.kafka.messages import Message, Undecodable, json_object, record_of
from mainstem.sources.kafka.positions import Span
from mainstem.sources.kafka.reading import Reader
from mainstem.sources.setaside import Unfit

if TYPE_CHECKING:
    from mainstem.sources.kafka.avro import Schemas

Pairs = Sequence[tuple[Message, dict[str, Any]]]


class Records:
    """Takes the messages of a source into the columns of its `shape`. `counted` counts tombstones that are left out."""

    def __init__(self, node: Kafka, shape: Shape, counted: Counter[str]) -> None:
        self._node, self._shape, self._counted = node, shape, counted
        self._schemas = schemas_of(node)

    def batches(self, messages: Sequence[Message]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of messages. Raises `SourceError` for a change of the schema that the contract freezes."""
        decode = json_object if self._schemas is None else self._schemas.decode
        pairs = list[tuple[Message, dict[str, Any]]]()
        for message in messages:
            if message.value is None and self._node.tombstones == "skip":
                self._counted["tombstones"] += 1
                continue
            try:
                pairs.append((message, record_of(message, self._node, decode)))
            except Undecodable as problem:
                self._shape.unfit.append(Unfit(str(problem), message.origin, message.raw()))
        schemas = self._schemas
        if schemas is None:
            yield from self._fitted(pairs, self._of_json) if pairs else ()
            return
        for _, some in groupby(pairs, key=lambda pair: schemas.id_of(pair[0].value)):
            yield from self._fitted(list(some), self._of_avro)

    def _fitted(self, pairs: Pairs, convert: Callable[[Pairs, str], pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield a batch. What does not fit the schema is set aside as the message that it came in."""
        first, last = pairs[0][0], pairs[-1][0]
        origin = first.origin if first is last else f"{first.topic}, {len(pairs):,} messages"
        with self._shape.unfit.together() as new:
            try:
                batch = convert(pairs, origin)
            except SourceError:
                for pair in pairs if len(pairs) > 1 else ():
                    convert([pair], pair[0].origin)  # raises the same error, with the message that it comes from
                raise
            self._name(pairs, new)
        yield batch

    def _name(self, pairs: Pairs, new: list[Unfit]) -> None:
        """Replace the rows that this batch set aside by their messages."""
        if not new:
            return
        found: dict[str, deque[Message]] = {}
        for message, record in pairs:
            found.setdefault(self._raw(record), deque()).append(message)
        for number, unfit in enumerate(new):
            message = found[unfit.raw].popleft()
            new[number] = Unfit(unfit.reason, message.origin, message.raw())

    def _raw(self, record: Mapping[str, Any]) -> str:
        if self._schemas is None:
            return json.dumps(record, ensure_ascii=False)
        return json.dumps(record, default=str, ensure_ascii=False)

    def _of_json(self, pairs: Pairs, origin: str) -> pa.RecordBatch:
        return from_records([record for _, record in pairs], self._shape, origin)

    def _of_avro(self, pairs: Pairs, origin: str) -> pa.RecordBatch:
        assert self._schemas is not None
        schema = self._schemas.arrow_of(pairs[0][0].value)
        parts = arrow_schema({column: part_type(part) for column, part in self._node.message.items()})
        instants = {f.name for f in parts if pa.types.is_timestamp(f.type)}
        own = pa.schema([*schema, *(f if f.name not in instants else f.with_type(pa.string()) for f in parts)])
        batch = pa.RecordBatch.from_pylist([record for _, record in pairs], schema=own)
        return fit(batch, self._shape, origin, loose=True)


def schemas_of(node: Kafka) -> Schemas | None:
    """Return the Avro schemas of a source, if its format is Avro. Raises `MissingExtra`, `SourceError`."""
    if node.format != "avro":
        return None
    from mainstem.sources.kafka.avro import Schemas

    return Schemas(node)


def types_of(node: Kafka, root: Path, count: int) -> dict[str, str]:
    """Return the columns of a topic's values by its Avro schema, or by its first `count` messages.

    Raises `SourceError` for a topic without messages that tell.
    """
    from mainstem.sources.arrow import types_of as ibis_types
    from mainstem.sources.inference import kept_types

    schemas = schemas_of(node)
    if schemas is not None and (latest := schemas.latest()) is not None:
        return kept_types(ibis_types(latest))
    records = list[dict[str, Any]]()
    with Client.open(node, root, node.topic) as client:
        _, partitions = client.partitions()
        bounds = client.bounds(partitions)
        reader = Reader(client, [Span(number, low, min(high, low + count)) for number, (low, high) in bounds.items()])
        for messages in reader.batches():
            for message in messages:
                if message.value is None:
                    continue
                try:
                    records.append(json_object(message.value))
                except Undecodable:
                    continue
    if not records:
        raise SourceError(
            f"the topic {node.topic!r} has no message that tells its columns",
            expected="a message, or a declared schema",
            hint='schema={"column": "type"}',
        )
    names = dict.fromkeys(name for record in records for name in record)
    return {name: type_of([record.get(name) for record in records]) for name in names}
