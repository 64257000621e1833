"""Read a stream's log for the state of a view: from the state's offset on, without a gap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mainstem.errors import ConflictError, StorageError
from mainstem.ports import EventLog

Entries = Sequence[tuple[int, bytes]]

CHUNK = 10_000
"""The number of entries that a view reads at a time."""


def chunks(log: EventLog, name: str, start: int, end: int) -> Iterator[Entries]:
    """Yield the entries `(offset, payload)` of a log with `start <= offset < end`, in chunks.

    Raises `StorageError` if the log no longer has some of them, `ConflictError` if some are not committed yet.
    """
    while start < end:
        chunk = list(log.entries(name, start, min(CHUNK, end - start)))
        if not chunk or chunk[0][0] != start:
            raise _missing(log, name, start, end)
        yield chunk
        start = chunk[-1][0] + 1


def lacks(log: EventLog, name: str, start: int) -> bool:
    """Return whether a log lacks the entry at `start`, at which a state would continue."""
    end = log.end(name)
    if start >= end:
        return start > end
    first = next(iter(log.entries(name, start, 1)), None)
    return first is None or first[0] != start


def _missing(log: EventLog, name: str, start: int, end: int) -> StorageError:
    kept = log.end(name)
    if start >= kept:
        return ConflictError(
            f"the log {name!r} changed during the read", got=f"{kept} entries, not {end}", hint="try again"
        )
    return StorageError(
        f"the log {name!r} does not have the events that the online state needs",
        got=f"a state that ends before offset {start}",
        expected="a log with entries from there on",
        hint="mainstem run rebuilds the state from the lake",
    )
