"""Kafka topics as sources: where a topic is, how its messages are read, and which of their parts become columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from mainstem.errors import DefinitionError, close_matches
from mainstem.masking import remember
from mainstem.nodes.base import Origin, names, refused, several
from mainstem.nodes.checks import Check
from mainstem.nodes.declared import declared
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.kinds import column, mapping, optional, text, word
from mainstem.nodes.sources import COLLECTED, KnownSpec, Source

PARTS: Mapping[str, str] = {
    "key": "string",
    "headers": "string",
    "partition": "int64",
    "offset": "int64",
    "timestamp": INSTANT,
    "tombstone": "boolean",
}
"""The parts of a message that can be columns, with their types. `header.NAME` is the text of one header."""

HEADER = "header."

CLIENT = frozenset(
    {
        *(f"sasl.{name}" for name in ("mechanism", "mechanisms", "username", "password")),
        *(f"sasl.kerberos.{name}" for name in ("service.name", "principal", "keytab", "kinit.cmd")),
        *(f"sasl.oauthbearer.{name}" for name in ("method", "client.id", "client.secret", "scope", "extensions")),
        *(f"sasl.oauthbearer.{name}" for name in ("token.endpoint.url", "config")),
        *(f"ssl.{name}" for name in ("ca.location", "ca.pem", "certificate.location", "certificate.pem")),
        *(f"ssl.{name}" for name in ("key.location", "key.pem", "key.password", "cipher.suites", "crl.location")),
        *(f"ssl.{name}" for name in ("keystore.location", "keystore.password", "endpoint.identification.algorithm")),
        *("security.protocol", "enable.ssl.certificate.verification", "client.id", "client.rack", "group.id"),
        *("group.instance.id", "session.timeout.ms", "heartbeat.interval.ms", "max.poll.interval.ms"),
        *("partition.assignment.strategy", "fetch.min.bytes", "fetch.max.bytes", "fetch.wait.max.ms"),
        *("max.partition.fetch.bytes", "receive.message.max.bytes", "queued.max.messages.kbytes", "check.crcs"),
        *("socket.timeout.ms", "socket.keepalive.enable", "socket.connection.setup.timeout.ms"),
        *("reconnect.backoff.ms", "reconnect.backoff.max.ms", "broker.address.family", "metadata.max.age.ms"),
        "topic.metadata.refresh.interval.ms",
    }
)
"""The settings of librdkafka, the client, that a declaration may give."""

SECRET = ("password", "secret", "key.pem", "oauthbearer.config")
"""The ends of names of settings that hold a secret."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Kafka(Source):
    """A topic of a Kafka cluster. A run reads it from where the last one ended, up to its present end.

    `message` maps columns to parts of messages. `settings` are those of the client. `avro` is the schema of messages
    that do not name theirs, and `registry` the URL of the schema registry for those that do.
    """

    feeds: ClassVar[bool] = True

    servers: str
    topic: str
    format: Literal["json", "avro"] = "json"
    registry: str | None = None
    avro: str | None = None
    message: Mapping[str, str] = field(default_factory=dict)
    tombstones: Literal["aside", "skip", "keep"] = "aside"
    start: Literal["earliest", "latest"] = "earliest"
    expired: Literal["fail", "skip"] = "fail"
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def repeats(self) -> bool:
        return True


def part_type(part: str) -> str:
    """Return the type of a part of a message."""
    return PARTS.get(part, "string")


def _servers(name: str, value: Any) -> None:
    """Require one text or several."""
    if isinstance(value, Mapping):
        raise refused(f"`{name}` must be a text", value, '"broker:9092", or several')
    for each in (value,) if several(value) is None else several(value) or ("",):
        text(name, each)


def _part(name: str, value: Any) -> None:
    """Require a part of a message."""
    text(name, value)
    if value not in PARTS and not (value.startswith(HEADER) and len(value) > len(HEADER)):
        expected = f"one of {', '.join(PARTS)}, or header.NAME"
        raise refused(f"`{name}` is not a part of a message", value, expected, close_matches(value, PARTS))


def _client(name: str, value: Any) -> None:
    """Require settings of the client that a declaration may give."""
    mapping(text)(name, value)
    for setting in value:
        if setting not in CLIENT:
            raise DefinitionError(
                f"unknown setting {setting!r} of the Kafka client",
                where=str(Origin.of_caller()),
                got=setting,
                expected="a setting of librdkafka for TLS, SASL, the group, or how messages are fetched",
                hint=close_matches(setting, CLIENT),
            )


def _schema(value: Any) -> str | None:
    """Return an Avro schema as JSON. Raises `DefinitionError`."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise refused("`avro` is not the JSON of an Avro schema", value, '{"type": "record", …}') from None
    if not isinstance(value, Mapping) or value.get("type") != "record":
        raise refused("`avro` is not the schema of a record", value, '{"type": "record", …}')
    return json.dumps(value)


@declared(
    servers=_servers,
    topic=text,
    time=optional(column),
    format=word("json", "avro"),
    registry=optional(text),
    avro=lambda name, value: None,
    message=optional(mapping(_part)),
    tombstones=word("aside", "skip", "keep"),
    start=word("earliest", "latest"),
    expired=word("fail", "skip"),
    settings=lambda name, value: None if value is None else _client(name, value),
    **COLLECTED,
)
def kafka(
    servers: str | Sequence[str],
    topic: str,
    *,
    key: str | Sequence[str] | None = None,
    time: str | None = None,
    known: KnownSpec = None,
    schema: Mapping[str, str] | None = None,
    format: Literal["json", "avro"] = "json",
    registry: str | None = None,
    avro: str | Mapping[str, Any] | None = None,
    message: Mapping[str, str] | None = None,
    tombstones: Literal["aside", "skip", "keep"] = "aside",
    start: Literal["earliest", "latest"] = "earliest",
    expired: Literal["fail", "skip"] = "fail",
    settings: Mapping[str, str] | None = None,
    checks: Sequence[Check] = (),
    **meta: Any,
) -> Kafka:
    """Declare a Kafka topic. A run reads its messages up to the end that the topic has when the run begins.

    `servers` are addresses such as `broker:9092`. `format="avro"` takes the schema of messages from `registry`, a
    schema registry's URL, or from `avro`, a schema in JSON. `message` maps columns to parts of messages: `key`,
    `headers`, `header.NAME`, `partition`, `offset`, `timestamp`, `tombstone`. `tombstones` says what a message without
    a value becomes: set aside, left out and counted, or a row without values. `start` is where the first run begins.
    `expired="skip"` goes on behind messages that the topic deleted before they were read; the run says which.
    `settings` are librdkafka's, such as `{"security.protocol": "SASL_SSL", "sasl.password": "${env:KAFKA}"}`.
    Raises `DefinitionError`.
    """
    if (format == "avro") != (registry is not None or avro is not None) or (registry and avro is not None):
        expected = 'format="avro" with registry="http://…", or with avro={"type": "record", …}'
        raise refused("Avro needs one source of schemas", [format, registry, avro], expected)
    given = dict(settings or {})
    for name, value in given.items():
        if name.endswith(SECRET) and "${env:" not in value:
            remember(value)
    parts = dict(message or {})
    for each, part in parts.items():
        if schema is not None and schema.get(each, part_type(part)) != part_type(part):
            raise refused(f"{each!r} is a part of the message of another type", schema[each], part_type(part))
    return Kafka(
        servers=servers if isinstance(servers, str) else ",".join(servers),
        topic=topic,
        format=format,
        registry=registry,
        avro=_schema(avro),
        message=parts,
        tombstones=tombstones,
        start=start,
        expired=expired,
        settings=given,
        key=names(key),
        time=time,
        known=known,
        schema=schema,
        checks=tuple(checks),
        **meta,
    )
