"""Online store and event log in one LMDB environment, so that one transaction covers an event and its effects."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import ClassVar

import lmdb

from mainstem import private
from mainstem.errors import StorageError
from mainstem.ports import Sizes, Writer
from mainstem.stores.environment import Environment, acquire, entries, explain, explained, release
from mainstem.stores.keys import PREFIX, decoded, is_literal, is_name, name_of, offset_key
from mainstem.stores.lmdb_records import LOG, SPACE, end_of, key_of, known, values_of
from mainstem.stores.lmdb_writer import LmdbWriter

LOOK = 0.5
"""Seconds until a reader notices that the directory was deleted. A writer notices it at once."""

_CHUNK = 1_000  # entries read at a time


class LmdbStore:
    """Bytes per (space, key), and logs, below the directory `path`. Safe in several processes and threads.

    `map_size` is the initial size of the map (bytes of address space, not of disk). It doubles when it is full. Without
    `sync`, a crash of the machine may lose the last transactions; a crash of the process does not. Reads take
    microseconds.
    """

    remote: ClassVar[bool] = False

    def __init__(self, path: Path | str, map_size: int = 1 << 30, sync: bool = True) -> None:
        self._path = Path(path).resolve()
        self.where = str(self._path)
        self._settings = (map_size, sync)
        self._environment: Environment | None = acquire(self._path, map_size, sync)
        self._following = threading.Lock()
        self._look_at = 0.0
        self.durability = "on disk" if sync else "a crash of the machine may lose the last transactions"

    @staticmethod
    def fork(origin: Path, path: Path) -> None:
        """Create the store at `path` as a copy of another, unless it exists or the other does not."""
        if not origin.exists() or path.exists():
            return
        draft = path.with_name(f"{path.name}.part")
        shutil.rmtree(draft, ignore_errors=True)
        store = LmdbStore(origin)
        try:
            store.copy(draft)
        finally:
            store.close()
        draft.rename(path)

    # ── online store ──────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def transaction(self) -> Iterator[Writer]:
        """Open the transaction of the only writer. It is on disk on exit and rolled back on an exception.

        Raises `StorageError`.
        """
        self._follow()
        environment = self._env
        if environment.writer == threading.get_ident():
            hint = "use the Writer of the outer transaction"
            raise StorageError("a transaction cannot begin inside another one", where=self.where, hint=hint)
        with explained(self.where), environment.writing:
            environment.writer = threading.get_ident()
            writer = LmdbWriter(environment)
            try:
                yield writer
                writer.commit()
                if environment.lost:
                    raise _lost(self.where)
            finally:
                writer.abort()
                environment.writer = None

    def read(self, space: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return self.read_many([(space, keys)])[0]

    def read_many(self, wanted: Sequence[tuple[str, Sequence[bytes]]]) -> list[list[bytes | None]]:
        # The hot path uses no generator-based context manager: it costs more than the read.
        if monotonic() >= self._look_at:
            self._follow()
        environment = self._env
        try:
            with environment.reading, environment.view() as transaction:
                return [values_of(environment, transaction, space, keys) for space, keys in wanted]
        except lmdb.Error as error:
            raise explain(error, self.where) from error
        except StorageError as problem:
            raise problem.at(self.where) from None

    def count(self, space: str) -> int:
        """Return the number of keys by counting them."""
        environment = self._env
        with explained(self.where), environment.reading, environment.view() as transaction:
            prefix = known(environment, transaction, SPACE, space)
            if prefix is None:
                return 0
            return sum(not is_name(key) for key, _ in entries(transaction, environment.values, prefix))

    def scan(self, space: str, limit: int = 1_000) -> Iterator[list[tuple[bytes, bytes]]]:
        """Yield pages of keys and values, each from its own view."""
        last: bytes | None = b""
        while last is not None:
            page, last = self._page(space, last, limit)
            if page:
                yield page

    def _page(self, space: str, last: bytes, limit: int) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
        """Return the entries after the encoded key `last`, and the last key of them; None at the end of the space."""
        environment = self._env
        with explained(self.where), environment.reading, environment.view() as transaction:
            prefix = known(environment, transaction, SPACE, space)
            if prefix is None:
                return [], None
            stored, opened = entries(transaction, environment.values, prefix, last), environment.open
            found = [(key, opened(key, value)) for key, value in islice(stored, limit)]
            page = [(key[PREFIX + 1 :], value) for key, value in found if is_literal(key)]
            if len(page) < len(found):
                names = ((name_of(key), key, value) for key, value in found if not is_name(key))
                page = [(key_of(environment, transaction, name, key), value) for name, key, value in names]
            return page, found[-1][0] if len(found) == limit else None

    def sizes(self) -> Sizes:
        """Return the sum of key and value sizes, by reading all of them."""
        environment, spaces, logs = self._env, dict[str, int](), dict[str, int]()
        tables = {SPACE: (environment.values, spaces), LOG: (environment.events, logs)}
        with explained(self.where), environment.reading, environment.view() as transaction:
            for name, stored in list(entries(transaction, environment.names, b"")):
                kind, text = decoded(name)
                number = environment.open(name, stored)
                db, sizes = tables[kind]
                size = sum(len(key) + len(value) for key, value in entries(transaction, db, number))
                sizes |= {text: size} if size else {}
        return Sizes(spaces, logs)

    def copy(self, path: Path) -> None:
        """Write a consistent, compacted copy of everything into the empty directory `path`, while others read and
        write."""
        environment = self._env
        with explained(str(path)):
            private.directory(path)
            environment.env.copy(str(path), compact=True)
            private.files(path / "data.mdb")

    def close(self) -> None:
        if self._environment is not None:
            release(self._environment)
            self._environment = None

    # ── event log ─────────────────────────────────────────────────────────────────────────────────────

    def entries(self, log: str, start: int, limit: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, payload) from `start` to the end of the log at the time of the call.

        If earlier entries were trimmed, it begins at the first one that is left.
        """
        end = self.end(log)
        stop = end if limit is None else min(end, start + limit)
        while start < stop:
            chunk = self._chunk(log, start, min(stop, start + _CHUNK))
            yield from chunk
            start = chunk[-1][0] + 1 if chunk else start + _CHUNK

    def end(self, log: str) -> int:
        environment = self._env
        with explained(self.where), environment.reading, environment.view() as transaction:
            prefix = known(environment, transaction, LOG, log)
            return 0 if prefix is None else end_of(environment, transaction, prefix)

    def trim(self, log: str, before: int) -> None:
        with self.transaction() as writer:
            writer.trim(log, before)  # type: ignore[attr-defined]

    def begin(self, log: str, offset: int) -> None:
        with self.transaction() as writer:
            writer.begin(log, offset)  # type: ignore[attr-defined]

    def _chunk(self, log: str, start: int, stop: int) -> list[tuple[int, bytes]]:
        environment = self._env
        with explained(self.where), environment.reading, environment.view() as transaction:
            prefix = known(environment, transaction, LOG, log)
            if prefix is None:
                return []
            found = []
            with transaction.cursor(environment.events) as cursor:
                positioned = cursor.set_range(offset_key(prefix, start))
                last = offset_key(prefix, stop)
                while positioned and cursor.key() < last:
                    key = cursor.key()
                    payload = environment.open(key, cursor.value())
                    found.append((int.from_bytes(key[PREFIX:], "big"), payload))
                    positioned = cursor.next()
            return found

    def renew(self) -> None:
        """Open the directory again after it was deleted. If no other process has recreated it, the store is empty."""
        with self._following:
            lost = self._env
            if lost.lost:
                self._environment = acquire(self._path, *self._settings)
                release(lost)

    def _follow(self) -> None:
        """Open the directory again after it was deleted and another process recreated it.

        Raises `StorageError` if no process has recreated it yet.
        """
        if self._env.lost:
            if not (self._path / "data.mdb").exists():
                raise _lost(self.where)
            self.renew()
        self._look_at = monotonic() + LOOK

    @property
    def _env(self) -> Environment:
        if self._environment is None:
            raise StorageError("the online store is closed", where=self.where)
        return self._environment


def _lost(where: str) -> StorageError:
    return StorageError(
        "the online store was deleted while it was open",
        where=where,
        got="no file, or another file",
        hint="mainstem run rebuilds it from the lake",
    )
