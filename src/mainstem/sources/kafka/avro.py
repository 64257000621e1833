"""Avro values: schemaless with a declared schema, or in Confluent's wire format, whose schemas a registry has.

In the wire format a zero byte and the id of a schema (four bytes) come before the value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import pyarrow as pa

from mainstem.errors import MissingExtra, SourceError
from mainstem.nodes.kafka import Kafka
from mainstem.nodes.limits import Limits
from mainstem.sources.avro import arrow_type, told
from mainstem.sources.http import Client, parsed
from mainstem.sources.kafka.messages import Undecodable
from mainstem.sources.secrets import expand_url, redact

DECLARED = 0
"""The id of the declared schema; those of a registry begin at 1."""
HEAD = 5


class Schemas:
    """The schemas of a source's messages, by id. A registry is asked once for each. Raises `MissingExtra`."""

    def __init__(self, node: Kafka) -> None:
        try:
            import fastavro
        except ImportError:
            raise MissingExtra.named("kafka", "fastavro") from None
        self._avro, self._node = fastavro, node
        self._known: dict[int, Any] = {}
        self._arrow: dict[int, pa.Schema] = {}
        if node.avro is not None:
            self._known[DECLARED] = fastavro.parse_schema(json.loads(node.avro))

    def id_of(self, value: bytes | None) -> int:
        """Return the id of a value's schema. Raises `Undecodable`."""
        if self._node.avro is not None or value is None:
            return DECLARED
        if len(value) < HEAD or value[0] != 0:
            raise Undecodable("the value does not begin with a zero byte and the id of a schema")
        return int.from_bytes(value[1:HEAD], "big")

    def decode(self, value: bytes) -> dict[str, Any]:
        """Return a value as a record. Raises `Undecodable`, and `SourceError` if the registry does not answer."""
        id = self.id_of(value)
        schema, body = self._schema(id), BytesIO(value if id == DECLARED else value[HEAD:])
        try:
            found: Any = self._avro.schemaless_reader(body, schema, None)
        except Exception as problem:  # fastavro raises what its decoding meets: EOFError, IndexError, ValueError, …
            reason = str(problem) or type(problem).__name__
            raise Undecodable(f"the value is not Avro of its schema: {reason}") from None
        if body.read(1):
            raise Undecodable("the value is longer than its Avro schema says")
        return {name: told(each, self.arrow(id).field(name).type) for name, each in found.items()}

    def arrow_of(self, value: bytes | None) -> pa.Schema:
        """Return the columns of a value as Arrow types; for a message without one, those of the latest schema."""
        return self.latest() or pa.schema([]) if value is None else self.arrow(self.id_of(value))

    def arrow(self, id: int) -> pa.Schema:
        """Return the columns of a schema as Arrow types."""
        if id not in self._arrow:
            fields = self._schema(id)["fields"]
            self._arrow[id] = pa.schema([(field["name"], arrow_type(field["type"])) for field in fields])
        return self._arrow[id]

    def latest(self) -> pa.Schema | None:
        """Return the columns of the declared schema, or of the newest one of the topic in the registry; None without
        one. Raises `SourceError`."""
        if self._node.avro is not None:
            return self.arrow(DECLARED)
        answer = self._registry(f"/subjects/{self._node.topic}-value/versions/latest", may_lack=True)
        return None if answer is None else self._kept(int(answer["id"]), answer)

    def _kept(self, id: int, answer: Mapping[str, Any]) -> pa.Schema:
        self._known.setdefault(id, self._parsed(id, answer))
        return self.arrow(id)

    def _schema(self, id: int) -> Any:
        if id not in self._known:
            answer = self._registry(f"/schemas/ids/{id}", may_lack=True)
            if answer is None:
                raise Undecodable(f"the registry has no schema of the id {id}")
            self._known[id] = self._parsed(id, answer)
        return self._known[id]

    def _parsed(self, id: int, answer: Mapping[str, Any]) -> Any:
        where = f"{redact(str(self._node.registry))}, schema {id}"
        kind = answer.get("schemaType", "AVRO")
        if kind != "AVRO":
            raise SourceError("the schema is not Avro", where=where, got=str(kind), expected="AVRO")
        named: dict[str, Any] = {}
        for reference in answer.get("references", ()):
            place = f"/subjects/{reference['subject']}/versions/{reference['version']}"
            found = self._registry(place)
            self._avro.parse_schema(json.loads(found["schema"]), named_schemas=named)
        schema = self._avro.parse_schema(json.loads(answer["schema"]), named_schemas=named)
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise SourceError("the schema is not that of a record", where=where, expected="a record, with fields")
        return schema

    def _registry(self, path: str, *, may_lack: bool = False) -> Any:
        """Return the JSON that a registry answers; None for what it does not have. Raises `SourceError`."""
        declared = str(self._node.registry)
        url, shown = expand_url(declared).rstrip("/"), redact(declared)
        client = Client(url, {}, Limits(), shown=shown, timeout=10.0, attempts=4, backoff=0.3)
        answer = client.patiently(f"{url}{path}")
        if may_lack and answer.status == 404:
            return None
        return parsed(client.good(answer), shown)
