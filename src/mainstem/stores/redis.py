"""Online store and event log on a Redis server, so that many machines serve the same state.

A transaction is one script on the server. Readers see all of it or nothing, and state and offsets stay consistent. All
keys of a branch begin with `mainstem:PROJECT:BRANCH`. Only the writers' lock expires.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from mainstem.errors import StorageError
from mainstem.ports import Sizes, Writer
from mainstem.stores.redis_copy import copy, drop
from mainstem.stores.redis_server import Command, Server
from mainstem.stores.redis_writer import Names, RedisWriter, catalogue, entry_id, offset_of, turn

LEASE = 10.0
"""Seconds after which the lock of a killed writer expires."""

_CHUNK = 1_000  # entries read at a time


class RedisStore:
    """Bytes per (space, key), and logs, of a project's branch at `url`. Safe in several processes and threads.

    The constructor connects. Raises `SettingsError` for an invalid URL, `MissingExtra` without redis-py, and
    `StorageError` for a server that is unavailable or that evicts keys. It warns about a server that may lose
    acknowledged data.
    """

    remote: ClassVar[bool] = True

    def __init__(self, url: str, project: str, branch: str, lease: float = LEASE) -> None:
        self._project, self._names, self._lease = project, Names.of(project, branch), lease
        self._server: Server | None = Server(url)
        self.where, self.durability = self._server.where, self._server.durability.text

    @property
    def begun(self) -> bool:
        """Whether anything was ever written."""
        return bool(self._reach().ask("EXISTS", self._names.commits))

    def fork(self, origin: str) -> None:
        """Start as a copy of another branch's store, unless this one has data or the other does not exist."""
        copy(self._reach(), Names.of(self._project, origin), self._names, self._lease)

    def drop(self) -> None:
        """Delete everything of this branch."""
        drop(self._reach(), self._names, self._lease)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    # ── online store ──────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def transaction(self) -> Iterator[Writer]:
        """Open the transaction of the only writer. It is applied on exit and rolled back on an exception. Raises
        `StorageError`.

        Raises `ConflictError` if another writer took the lock because the transaction took too long. Nothing is then
        written.
        """
        server = self._reach()
        with turn(server, self._names, self._lease) as mine:
            writer = RedisWriter(server, self._names, mine)
            yield writer
            if commands := list(writer.commands()):
                mine.commit(commands)

    def read(self, space: str, keys: Sequence[bytes]) -> list[bytes | None]:
        if not keys:
            return []
        values: list[bytes | None] = self._reach().ask("HMGET", self._names.space(space), *keys)
        return values

    def read_many(self, wanted: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[bytes | None]]:
        asked: list[Command] = [("HMGET", self._names.space(space), *keys) for space, keys in wanted if keys]
        answers = iter(self._reach().together(asked, atomic=len(asked) > 1))
        return [next(answers) if keys else [] for _, keys in wanted]

    def count(self, space: str) -> int:
        return int(self._reach().ask("HLEN", self._names.space(space)))

    def scan(self, space: str, limit: int = 1_000) -> Iterator[list[tuple[bytes, bytes]]]:
        """Yield pages of keys and values in the order of HSCAN."""
        at: int | None = 0
        while at is not None:
            following, found = self._reach().ask("HSCAN", self._names.space(space), at, "COUNT", limit)
            if found:
                yield list(found.items())
            at = following or None

    def sizes(self) -> Sizes:
        """Return the memory of spaces and logs on the server, estimated from a hundred entries of each."""
        server = self._reach()
        spaces, logs = catalogue(server, self._names)
        keys = [*map(self._names.space, spaces), *map(self._names.log, logs)]
        found = iter(server.together([("MEMORY", "USAGE", key, "SAMPLES", 100) for key in keys]))
        weighed = [{name: size for name in names if (size := next(found))} for names in (spaces, logs)]
        return Sizes(*weighed)

    # ── event log ─────────────────────────────────────────────────────────────────────────────────────

    def entries(self, log: str, start: int, limit: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, payload) from `start` to the end of the log at the time of the call.

        If earlier entries were trimmed, it begins at the first one that is left.
        """
        end = self.end(log)
        stop = end if limit is None else min(end, start + limit)
        while start < stop:
            chunk = self._chunk(log, start, stop)
            yield from chunk
            start = chunk[-1][0] + 1 if chunk else stop

    def end(self, log: str) -> int:
        return int(self._reach().ask("HGET", self._names.ends, log) or 0)

    def trim(self, log: str, before: int) -> None:
        self._reach().durably("XTRIM", self._names.log(log), "MINID", entry_id(before))

    def begin(self, log: str, offset: int) -> None:
        server = self._reach()
        with turn(server, self._names, self._lease) as mine:
            if mine.ends.get(log, 0) < offset:
                mine.commit([("HSET", self._names.ends, log, offset)])

    def _chunk(self, log: str, start: int, stop: int) -> list[tuple[int, bytes]]:
        bounds = (entry_id(start), entry_id(stop - 1), "COUNT", _CHUNK)
        found = self._reach().ask("XRANGE", self._names.log(log), *bounds)
        return [(offset_of(id), fields[b"p"]) for id, fields in found]

    def _reach(self) -> Server:
        if self._server is None:
            raise StorageError("the online store is closed", where=self.where)
        return self._server
