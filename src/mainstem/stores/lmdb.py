"""Online store and event log in one LMDB environment, so that one transaction covers an event and its effects."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar, TypeVar

import lmdb

from mainstem import private
from mainstem.errors import ConflictError, StorageError
from mainstem.ports import Sizes, Writer
from mainstem.stores.environment import Environment, Transaction, acquire, drop, entries, explain, explained, release
from mainstem.stores.keys import (
    PREFIX,
    after,
    all_encoded,
    decoded,
    encoded,
    is_literal,
    is_long,
    is_name,
    name_of,
    number,
    offset_key,
)
from mainstem.stores.offsets import offsets_of

R = TypeVar("R")

LOOK = 0.5
"""Seconds until a reader notices that the directory was deleted. A writer notices it at once."""

FEW = 16
"""Fewer keys than this are read without a cursor."""

_SPACE, _LOG = b"s", b"l"
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
                return [_values(environment, transaction, space, keys) for space, keys in wanted]
        except lmdb.Error as error:
            raise explain(error, self.where) from error
        except StorageError as problem:
            raise problem.at(self.where) from None

    def count(self, space: str) -> int:
        """Return the number of keys by counting them."""
        environment = self._env
        with explained(self.where), environment.reading, environment.view() as transaction:
            prefix = _known(environment, transaction, _SPACE, space)
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
            prefix = _known(environment, transaction, _SPACE, space)
            if prefix is None:
                return [], None
            stored, opened = entries(transaction, environment.values, prefix, last), environment.open
            found = [(key, opened(key, value)) for key, value in islice(stored, limit)]
            page = [(key[PREFIX + 1 :], value) for key, value in found if is_literal(key)]
            if len(page) < len(found):
                names = ((name_of(key), key, value) for key, value in found if not is_name(key))
                page = [(_key(environment, transaction, name, key), value) for name, key, value in names]
            return page, found[-1][0] if len(found) == limit else None

    def sizes(self) -> Sizes:
        """Return the sum of key and value sizes, by reading all of them."""
        environment, spaces, logs = self._env, dict[str, int](), dict[str, int]()
        tables = {_SPACE: (environment.values, spaces), _LOG: (environment.events, logs)}
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
            prefix = _known(environment, transaction, _LOG, log)
            return 0 if prefix is None else _end(environment, transaction, prefix)

    def trim(self, log: str, before: int) -> None:
        with self.transaction() as writer:
            writer.trim(log, before)  # type: ignore[attr-defined]

    def begin(self, log: str, offset: int) -> None:
        with self.transaction() as writer:
            writer.begin(log, offset)  # type: ignore[attr-defined]

    def _chunk(self, log: str, start: int, stop: int) -> list[tuple[int, bytes]]:
        environment = self._env
        with explained(self.where), environment.reading, environment.view() as transaction:
            prefix = _known(environment, transaction, _LOG, log)
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


class LmdbWriter:
    """One write transaction.

    LMDB aborts a transaction when the map is full. Therefore every operation is kept with its result. After the map has
    grown, the operations are repeated, and the transaction continues if each has the same result as before.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._transaction: Transaction | None = None
        self._ids: dict[tuple[bytes, str], bytes] = {}
        self._done: list[tuple[Callable[..., Any], tuple[Any, ...], Any]] = []

    def prefetch(self, space: str, keys: Iterable[bytes]) -> None:
        """Do nothing: a read takes microseconds."""

    def get(self, space: str, key: bytes) -> bytes | None:
        return self.get_many(space, [key])[0]

    def get_many(self, space: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return self._apply(self._get_many, space, keys)

    def put(self, space: str, key: bytes, value: bytes) -> None:
        self._apply(self._put_many, space, {key: value})

    def put_many(self, space: str, values: Mapping[bytes, bytes]) -> None:
        self._apply(self._put_many, space, values)

    def delete(self, space: str, key: bytes) -> None:
        self._apply(self._delete, space, key)

    def clear(self, space: str, limit: int | None = None) -> bool:
        return self._apply(self._clear, space, limit)

    def append(self, log: str, payloads: Sequence[bytes], sizes: Sequence[int] | None = None) -> int:
        return self._apply(self._append, log, payloads, sizes)

    def trim(self, log: str, before: int) -> None:
        """Delete payloads below an offset. The log's end does not change."""
        self._apply(self._trim, log, before)

    def begin(self, log: str, offset: int) -> None:
        """Move the log's end up to an offset. An end beyond it stays."""
        self._apply(self._begin_log, log, offset)

    def commit(self) -> None:
        self._apply(self._commit)

    def abort(self) -> None:
        """Roll back, unless committed."""
        if self._transaction is not None:
            self._transaction.abort()
            self._transaction = None

    def _apply(self, operation: Callable[..., R], *arguments: Any) -> R:
        while True:
            try:
                result = operation(self._transaction or self._begin(), *arguments)
            except lmdb.MapFullError:
                self.abort()
                self._environment.grow()
            else:
                self._done.append((operation, arguments, result))
                return result

    def _begin(self) -> Transaction:
        transaction = self._transaction = self._environment.begin()
        self._ids.clear()
        for operation, arguments, result in self._done:
            if operation(transaction, *arguments) != result:
                hint = "try again"
                raise ConflictError("another process wrote while the store grew", hint=hint)
        return transaction

    def _get_many(self, transaction: Transaction, space: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return _values(self._environment, transaction, space, keys)

    def _put_many(self, transaction: Transaction, space: str, values: Mapping[bytes, bytes]) -> None:
        prefix = self._id(transaction, _SPACE, space)
        put, db, seal = transaction.put, self._environment.values, self._environment.seal
        places = all_encoded(prefix, values)
        entries = zip(places, map(seal, places, values.values()), strict=True)
        if len(values) > FEW:
            with transaction.cursor(db) as cursor:
                cursor.putmulti(entries)
        else:
            for place, value in entries:
                put(place, value, True, True, False, db)
        for key in filter(is_long, values):
            name = name_of(encoded(prefix, key))
            assert name is not None
            put(name, seal(name, key), db=db)

    def _delete(self, transaction: Transaction, space: str, key: bytes) -> None:
        at = encoded(self._id(transaction, _SPACE, space), key)
        transaction.delete(at, db=self._environment.values)
        if name := name_of(at):
            transaction.delete(name, db=self._environment.values)

    def _clear(self, transaction: Transaction, space: str, limit: int | None) -> bool:
        prefix = self._id(transaction, _SPACE, space)
        return drop(transaction, self._environment.values, prefix, after(prefix), limit)

    def _append(
        self, transaction: Transaction, log: str, payloads: Sequence[bytes], sizes: Sequence[int] | None
    ) -> int:
        prefix = self._id(transaction, _LOG, log)
        first = _end(self._environment, transaction, prefix)
        seal, offsets = self._environment.seal, offsets_of(first, payloads, sizes)
        for offset, payload in zip(offsets, payloads, strict=False):
            at = offset_key(prefix, offset)
            transaction.put(at, seal(at, payload), db=self._environment.events)
        self._set_end(transaction, prefix, offsets[-1])
        return first

    def _set_end(self, transaction: Transaction, prefix: bytes, offset: int) -> None:
        end = self._environment.seal(prefix, offset.to_bytes(8, "big"))
        transaction.put(prefix, end, db=self._environment.ends)

    def _trim(self, transaction: Transaction, log: str, before: int) -> None:
        prefix = self._id(transaction, _LOG, log)
        drop(transaction, self._environment.events, prefix, offset_key(prefix, before))

    def _begin_log(self, transaction: Transaction, log: str, offset: int) -> None:
        prefix = self._id(transaction, _LOG, log)
        if _end(self._environment, transaction, prefix) < offset:
            self._set_end(transaction, prefix, offset)

    def _commit(self, transaction: Transaction) -> None:
        transaction.commit()
        self._transaction = None
        self._environment.ids.update(self._ids)

    def _id(self, transaction: Transaction, kind: bytes, name: str) -> bytes:
        """Return the number of a space or log. Its first use assigns it. Numbers are never reused."""
        prefix = self._ids.get((kind, name)) or _known(self._environment, transaction, kind, name)
        if prefix is None:
            names = self._environment.names
            prefix = self._ids[kind, name] = number(transaction.stat(names)["entries"])
            at = encoded(kind, name.encode())
            transaction.put(at, self._environment.seal(at, prefix), db=names)
        return prefix


def _known(environment: Environment, transaction: Transaction, kind: bytes, name: str) -> bytes | None:
    prefix: bytes | None = environment.ids.get((kind, name))
    if prefix is None:
        at = encoded(kind, name.encode())
        stored = transaction.get(at, db=environment.names)
        prefix = None if stored is None else environment.open(at, stored)
        # Only readers cache numbers: those of a write transaction may be rolled back.
        if prefix is not None and environment.writer != threading.get_ident():
            environment.ids[kind, name] = prefix
    return prefix


def _end(environment: Environment, transaction: Transaction, log: bytes) -> int:
    stored = transaction.get(log, db=environment.ends)
    return 0 if stored is None else int.from_bytes(environment.open(log, stored), "big")


def _lost(where: str) -> StorageError:
    return StorageError(
        "the online store was deleted while it was open",
        where=where,
        got="no file, or another file",
        hint="mainstem run rebuilds it from the lake",
    )


def _key(environment: Environment, transaction: Transaction, name: bytes | None, encoded: bytes) -> bytes:
    """Return a key as it was given. A hashed key is stored in full in its name."""
    return (
        encoded[PREFIX + 1 :] if name is None else environment.open(name, transaction.get(name, db=environment.values))
    )


def _values(
    environment: Environment, transaction: Transaction, space: str, keys: Sequence[bytes]
) -> list[bytes | None]:
    prefix = _known(environment, transaction, _SPACE, space)
    if prefix is None:
        return [None] * len(keys)
    places, opened = all_encoded(prefix, keys), environment.open
    if len(keys) > FEW:
        with transaction.cursor(environment.values) as cursor:
            # A cursor is fast for sorted keys, because it searches near its position.
            found = list(map(cursor.get, places))
    else:
        get, values = transaction.get, environment.values
        found = [get(place, None, values) for place in places]
    pairs = zip(places, found, strict=True)
    return [None if stored is None else opened(place, stored) for place, stored in pairs]
