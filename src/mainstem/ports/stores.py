"""The ports of the online side: bytes per key, and the log of what was acknowledged, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Protocol


@dataclass(frozen=True)
class Sizes:
    """Approximate number of bytes of each space and each log, by name, as the store measures them."""

    spaces: Mapping[str, int]
    logs: Mapping[str, int]


class Writer(Protocol):
    """One transaction over online state and event log. At its end all of it is durable, or none of it."""

    def prefetch(self, space: str, keys: Iterable[bytes]) -> None:
        """Announce the keys that `get` will be called with. A remote store fetches all of them in one round trip."""

    def get(self, space: str, key: bytes) -> bytes | None: ...
    def get_many(self, space: str, keys: Sequence[bytes]) -> list[bytes | None]: ...
    def put(self, space: str, key: bytes, value: bytes) -> None: ...
    def put_many(self, space: str, values: Mapping[bytes, bytes]) -> None: ...
    def delete(self, space: str, key: bytes) -> None: ...

    def clear(self, space: str, limit: int | None = None) -> bool:
        """Delete all entries of a space, or about `limit` of them. Return whether entries may be left."""

    def append(self, log: str, payloads: Sequence[bytes], sizes: Sequence[int] | None = None) -> int:
        """Append to a log and return the first offset. The offsets of a log are 0, 1, 2, … without gaps.

        A payload takes one offset, or as many as its size in `sizes`: it has the first of them.
        """


class OnlineStore(Protocol):
    """Bytes per (space, key).

    `where` is the place of the store, without secrets. `durability` says briefly what a finished transaction
    guarantees. A `remote` store is read over a network; an event loop must not wait for it.
    """

    remote: ClassVar[bool]

    @property
    def where(self) -> str: ...

    @property
    def durability(self) -> str: ...

    def transaction(self) -> AbstractContextManager[Writer]:
        """Open the transaction of the only writer. It is durable on exit and rolled back on an exception.

        Raises `StorageError`, also if the disk is full.
        """

    def read(self, space: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of many keys from one consistent view."""

    def read_many(self, wanted: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[bytes | None]]:
        """Return the values of many keys in several spaces, from one consistent view and in one round trip."""

    def count(self, space: str) -> int: ...

    def scan(self, space: str, limit: int = 1_000) -> Iterator[list[tuple[bytes, bytes]]]:
        """Yield all keys of a space with their values, about `limit` at a time, each chunk from its own view.

        Concurrent writes may or may not be included, and a key may be returned twice.
        """

    def sizes(self) -> Sizes:
        """Return the size of each space and log. This may take as long as reading everything."""

    def close(self) -> None: ...


class EventLog(Protocol):
    """Ordered, durable payloads per log. A reader stores its own offset together with the data it writes."""

    def entries(self, log: str, start: int, limit: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, payload) from `start` on. Of a payload that takes several offsets it is the first."""

    def end(self, log: str) -> int:
        """Return the offset of the next payload."""

    def trim(self, log: str, before: int) -> None:
        """Delete payloads whose offset is below `before`, once they are in the lake."""

    def begin(self, log: str, offset: int) -> None:
        """Continue a log that was lost: the next payload gets at least this offset, because lower offsets were used
        before.
        """


class Store(OnlineStore, EventLog, Protocol):
    """Online state and event log in one store: a transaction covers both."""


class BranchStore(Store, Protocol):
    """The store of one branch, on a server that holds the stores of several branches."""

    @property
    def begun(self) -> bool:
        """Whether anything was ever written to the store."""

    def fork(self, origin: str) -> None:
        """Start as a copy of another branch's store, unless this one has data or the other does not exist."""

    def drop(self) -> None:
        """Delete everything of this branch. A store that does not exist stays so."""
