"""Requests with an idempotency key that were taken: sent again, they are answered as before and change nothing.

The keys of a day are in one of three spaces. Those of today and yesterday are read, and the third one is emptied for
tomorrow. So a key is remembered for at least 24 hours, and the store never holds more than two days of them.
"""

from __future__ import annotations

from hashlib import blake2b

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


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Sent).decode


def digest(body: bytes) -> bytes:
    """Return the hash of a body."""
    return blake2b(body, digest_size=16).digest()


class Keys:
    """The keys of requests to a stream. One object for each process and stream."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._emptied = -1

    def taken(self, writer: Writer, key: str, body: bytes, at: int) -> Sent | None:
        """Return what is known of a key at an instant (µs); None if it is new.

        Raises `RequestError` if it came with another body.
        """
        day, name = at // DAY, _name(key)
        for space in (self._space(day), self._space(day - 1)):
            raw = writer.get(space, name)
            held = None if raw is None else _decode(raw)
            if held is not None and held.at // DAY >= day - 1:
                if held.body != body:
                    raise RequestError(
                        "the idempotency key was used for other events",
                        where=f"stream {self._stream}",
                        got=f"a body that differs from the one of the first request with {key!r}",
                        expected="the same body again, or a new key",
                    )
                return held
        return None

    def note(self, writer: Writer, key: str, sent: Sent) -> None:
        """Remember a key, and forget some that are older than yesterday."""
        day = sent.at // DAY
        if self._emptied != day and not writer.clear(self._space(day + 1), AT_ONCE):
            self._emptied = day
        writer.put(self._space(day), _name(key), _encode(sent))

    def _space(self, day: int) -> str:
        return f"sent/{self._stream}/{day % 3}"


def _name(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=16).digest()
