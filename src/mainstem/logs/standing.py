"""The last row of each event in a stream of changes, to find the row that a change retracts.

A deletion retracts the row of its event that landed last. Senders send again and their rows may be out of date, so the
row in the change may have another key or time: state that is stored by key and time would not find the event by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from mainstem.logs.records import Event
from mainstem.ports import OnlineStore, Writer

PAGE = 512
"""The number of rows that are checked together."""

_SWEPT = b""
"""The key of the instant up to which rows were forgotten. Keys of events are never empty."""


class Standing(msgspec.Struct, frozen=True):
    """The row that landed last, and when it arrived (µs)."""

    arrived: int
    row: dict[str, Any]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Standing).decode


def resolved(writer: Writer, stream: str, key: Sequence[str], events: Sequence[Event]) -> list[Event]:
    """Return events, in order, where deletions name the row that they retract; remember the new rows.

    The rows of events that were taken before rows were remembered, or were forgotten, are unknown. A deletion of one
    retracts its own row.
    """
    space, names = _space(stream), [_name(event.row, key) for event in events]
    asked = list(dict.fromkeys(names))
    raws = zip(asked, writer.get_many(space, asked), strict=True)
    standing = {name: _decode(raw) for name, raw in raws if raw is not None}
    found, landed = list[Event](), dict[bytes, bytes]()
    for name, event in zip(names, events, strict=True):
        if event.deleted:
            last = standing.get(name)
            differs = last is not None and last.row != event.row
            found.append(msgspec.structs.replace(event, retracts=last.row) if last and differs else event)
        else:
            standing[name] = Standing(event.arrived, event.row)
            landed[name] = _encode(standing[name])
            found.append(event)
    if landed:
        writer.put_many(space, landed)
    return found


def forget(store: OnlineStore, stream: str, time: str, before: int, step: int) -> int:
    """Delete rows that arrived, and have a `time`, before an instant (µs). Return their number.

    Nothing is done until the instant has moved on by `step` since the last time.
    """
    space, forgotten = _space(stream), 0
    (mark,) = store.read(space, [_SWEPT])
    if mark is not None and before - msgspec.msgpack.decode(mark, type=int) < step:
        return 0
    for page in store.scan(space, PAGE):
        names = [name for name, raw in page if name != _SWEPT and _is_before(raw, time, before)]
        if names:
            with store.transaction() as writer:
                raws = zip(names, writer.get_many(space, names), strict=True)
                for name in [name for name, raw in raws if raw is not None and _is_before(raw, time, before)]:
                    writer.delete(space, name)
                    forgotten += 1
    with store.transaction() as writer:
        writer.put(space, _SWEPT, _encode(before))
    return forgotten


def erase(store: OnlineStore, stream: str, column: str, value: str) -> int:
    """Delete the rows whose column has a value, given as text. Return their number."""
    space, erased = _space(stream), 0
    for page in store.scan(space, PAGE):
        names = [name for name, raw in page if name != _SWEPT and str(_decode(raw).row.get(column)) == value]
        if names:
            with store.transaction() as writer:
                for name in names:
                    writer.delete(space, name)
            erased += len(names)
    return erased


def _is_before(raw: bytes, time: str, instant: int) -> bool:
    standing = _decode(raw)
    at = standing.row.get(time)  # a row of before the column was renamed has another time
    return bool(max(standing.arrived, standing.arrived if at is None else at) < instant)


def _name(row: dict[str, Any], key: Sequence[str]) -> bytes:
    return blake2b(_encode([row[column] for column in key]), digest_size=16).digest()


def _space(stream: str) -> str:
    return f"standing/{stream}"
