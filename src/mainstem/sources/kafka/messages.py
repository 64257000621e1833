"""Messages as records: the value by its format, and the parts of a message that the source names."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from mainstem.masking import brief
from mainstem.nodes.kafka import HEADER, Kafka

Decode = Callable[[bytes], dict[str, Any]]


class Undecodable(Exception):
    """A value is not what its source's format says. The text is the reason."""


class Message(NamedTuple):
    """A message as it came. `timestamp` is in milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp: int | None = None

    @classmethod
    def of(cls, found: Any) -> Message:
        """Return librdkafka's message."""
        kind, at = found.timestamp()
        headers = tuple(found.headers() or ())
        return cls(
            found.topic(), found.partition(), found.offset(), found.value(), found.key(), headers, at if kind else None
        )

    @property
    def origin(self) -> str:
        return f"{self.topic}, partition {self.partition}, offset {self.offset}"

    def raw(self) -> str:
        """Return the whole message as JSON. Bytes that are not text are in base64."""
        return json.dumps(
            {
                "topic": self.topic,
                "partition": self.partition,
                "offset": self.offset,
                "timestamp": self.timestamp,
                "key": _told(self.key),
                "headers": [[name, _told(value)] for name, value in self.headers],
                "value": _told(self.value),
            },
            ensure_ascii=False,
        )

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Message:
        """Return the message that `raw` gave."""
        headers = tuple((name, _bytes(value)) for name, value in raw["headers"])
        key, value = _bytes(raw["key"]), _bytes(raw["value"])
        return cls(raw["topic"], raw["partition"], raw["offset"], value, key, headers, raw["timestamp"])


_json = msgspec.json.Decoder().decode


def json_object(value: bytes) -> dict[str, Any]:
    """Return a JSON object. Raises `Undecodable`."""
    try:
        found = _json(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"the value is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Undecodable(f"the value is not a JSON object: {brief(repr(found))}")
    return found


def record_of(message: Message, node: Kafka, decode: Decode) -> dict[str, Any]:
    """Return a message as a record: the columns of its value, and the parts that the source names.

    Raises `Undecodable`.
    """
    if message.value is None:
        if node.tombstones != "keep":
            raise Undecodable("a tombstone: the message has no value")
        return parts_of(message, node)
    record = decode(message.value)
    if node.message:
        both = record.keys() & node.message.keys()
        if both:
            raise Undecodable(f"the value has the field {min(both)!r}, which message= names too")
        record |= parts_of(message, node)
    return record


def parts_of(message: Message, node: Kafka) -> dict[str, Any]:
    """Return the parts of a message that the source names, as JSON has them. Raises `Undecodable`."""
    return {column: _part(message, part) for column, part in node.message.items()}


def _part(message: Message, part: str) -> Any:
    match part:
        case "key":
            return _text(message.key, "the key")
        case "headers":
            pairs = [[name, _text(value, f"the header {name!r}")] for name, value in message.headers]
            return json.dumps(pairs, ensure_ascii=False)
        case "partition":
            return message.partition
        case "offset":
            return message.offset
        case "timestamp":
            return None if message.timestamp is None else _instant(message.timestamp)
        case "tombstone":
            return message.value is None
    name = part.removeprefix(HEADER)
    values = [value for header, value in message.headers if header == name]
    return _text(values[-1], f"the header {name!r}") if values else None


def _instant(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds // 1_000, UTC).replace(microsecond=milliseconds % 1_000 * 1_000)
    return moment.isoformat().replace("+00:00", "Z")


def _text(value: bytes | None, what: str) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        raise Undecodable(f"{what} is not text in UTF-8") from None


def _told(value: bytes | None) -> str | dict[str, str] | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value or b"").decode()}


def _bytes(told: Any) -> bytes | None:
    if told is None:
        return None
    return base64.b64decode(told["base64"]) if isinstance(told, Mapping) else str(told).encode()
