"""Requests with an idempotency key, and events that were answered: sent again, they are answered as before and change
nothing.

The keys of a day are in one of three spaces. Those of today and yesterday are read, and the third one is emptied for
tomorrow. So a key is remembered for at least 24 hours, and the store never holds more than two days of them.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Generic, Protocol, TypeVar

import msgspec

from mainstem.errors import RequestError
from mainstem.graph.units import DAY
from mainstem.ports import Writer

LONGEST = 255
"""The most characters of a key."""

AT_ONCE = 10_000
"""The most old keys that one transaction deletes."""


class Sent(msgspec.Struct, frozen=True):
    """A request that was taken: when (µs), the offset of its first event, how many it had, and a hash of its body."""

    at: int
    first: int
    count: int
    body: bytes


class Dated(Protocol):
    """A record with an instant (µs)."""

    @property
    def at(self) -> int: ...


T = TypeVar("T", bound=Dated)
Get = Callable[[str, bytes], bytes | None]
"""Reads a key of a space, such as `Writer.get`."""
_encode = msgspec.msgpack.Encoder().encode


def digest(body: bytes) -> bytes:
    """Return the hash of a body."""
    return blake2b(body, digest_size=16).digest()


class Days(Generic[T]):
    """Records with an instant `at` (µs) by name, in spaces of the store that begin with `prefix`. They are remembered
    for at least 24 hours. One object for each process and prefix."""

    def __init__(self, prefix: str, kind: type[T]) -> None:
        self._prefix, self._decode = prefix, msgspec.msgpack.Decoder(kind).decode
        self._emptied = -1

    def get(self, read: Get, name: str, at: int) -> T | None:
        """Return the record of a name at an instant (µs); None if it is new."""
        day = at // DAY
        for space in (self._space(day), self._space(day - 1)):
            raw = read(space, _name(name))
            held = None if raw is None else self._decode(raw)
            if held is not None and held.at // DAY >= day - 1:
                return held
        return None

    def put(self, writer: Writer, name: str, record: T) -> None:
        """Remember a record, and forget some that are older than yesterday."""
        day = record.at // DAY
        if day > self._emptied and not writer.clear(self._space(day + 1), AT_ONCE):
            self._emptied = day
        writer.put(self._space(day), _name(name), _encode(record))

    def _space(self, day: int) -> str:
        return f"{self._prefix}/{day % 3}"


class Keys:
    """The keys of requests to a stream. One object for each process and stream."""

    def __init__(self, stream: str) -> None:
        self._stream, self._days = stream, Days(f"sent/{stream}", Sent)

    def taken(self, writer: Writer, key: str, body: bytes, at: int) -> Sent | None:
        """Return what is known of a key at an instant (µs); None if it is new.

        Raises `RequestError` if it came with another body.
        """
        held = self._days.get(writer.get, key, at)
        if held is not None and held.body != body:
            raise RequestError(
                "the idempotency key was used for other events",
                where=f"stream {self._stream}",
                got=f"a body that differs from the one of the first request with {key!r}",
                expected="the same body again, or a new key",
            )
        return held

    def note(self, writer: Writer, key: str, sent: Sent) -> None:
        """Remember a key, and forget some that are older than yesterday."""
        self._days.put(writer, key, sent)


class AnsweredEvent(msgspec.Struct, frozen=True):
    """An event that was asked by: when (µs), a hash of its row, its offset, and the answer as JSON."""

    at: int
    body: bytes
    offset: int
    answer: bytes


class AnsweredEvents:
    """The events that an endpoint was asked by, by their keys. One object for each process and name."""

    def __init__(self, name: str) -> None:
        self._where, self._days = f"endpoint {name}", Days(f"asked/{name}", AnsweredEvent)

    def taken(self, read: Get, key: str, body: bytes, at: int) -> AnsweredEvent | None:
        """Return the answer to an event at an instant (µs); None if it is new. `read` reads a key of a space.

        Raises `RequestError` if another event came with its key.
        """
        held = self._days.get(read, key, at)
        if held is not None and held.body != body:
            raise self.differs(key)
        return held

    def differs(self, key: str) -> RequestError:
        """Return the error for an event whose key another event had."""
        return RequestError(
            "an event with this key was answered already, and differs",
            where=self._where,
            got=f"the key {key}",
            expected="the same event again, or another key",
        )

    def note(self, writer: Writer, key: str, answered: AnsweredEvent) -> None:
        """Remember the answer to an event."""
        self._days.put(writer, key, answered)


def _name(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=16).digest()
