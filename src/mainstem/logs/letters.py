"""Dead letters of a stream: messages of a topic that are no event, kept as they came in a log of their own."""

from __future__ import annotations

import msgspec

from mainstem.ports import Writer


class Letter(msgspec.Struct, frozen=True):
    """A message that is no event: when it was met (µs), why, where it came from, and the whole message as JSON."""

    at: int
    reason: str
    origin: str
    raw: str


_encode = msgspec.msgpack.Encoder().encode
decode_letter = msgspec.msgpack.Decoder(Letter).decode


def letters_of(stream: str) -> str:
    """Return the name of the log of a stream's dead letters."""
    return f"unreadable/{stream}"


def append_letters(writer: Writer, stream: str, letters: list[Letter]) -> None:
    """Append dead letters to their log."""
    if letters:
        writer.append(letters_of(stream), [_encode(letter) for letter in letters])
