"""One write transaction of the online store in LMDB."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import lmdb

from mainstem.errors import ConflictError
from mainstem.stores.environment import Environment, Transaction, drop
from mainstem.stores.keys import after, all_encoded, encoded, is_long, name_of, number, offset_key
from mainstem.stores.lmdb_records import FEW, LOG, SPACE, end_of, known, values_of
from mainstem.stores.offsets import offsets_of

R = TypeVar("R")


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
        return values_of(self._environment, transaction, space, keys)

    def _put_many(self, transaction: Transaction, space: str, values: Mapping[bytes, bytes]) -> None:
        prefix = self._id(transaction, SPACE, space)
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
        at = encoded(self._id(transaction, SPACE, space), key)
        transaction.delete(at, db=self._environment.values)
        if name := name_of(at):
            transaction.delete(name, db=self._environment.values)

    def _clear(self, transaction: Transaction, space: str, limit: int | None) -> bool:
        prefix = self._id(transaction, SPACE, space)
        return drop(transaction, self._environment.values, prefix, after(prefix), limit)

    def _append(
        self, transaction: Transaction, log: str, payloads: Sequence[bytes], sizes: Sequence[int] | None
    ) -> int:
        prefix = self._id(transaction, LOG, log)
        first = end_of(self._environment, transaction, prefix)
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
        prefix = self._id(transaction, LOG, log)
        drop(transaction, self._environment.events, prefix, offset_key(prefix, before))

    def _begin_log(self, transaction: Transaction, log: str, offset: int) -> None:
        prefix = self._id(transaction, LOG, log)
        if end_of(self._environment, transaction, prefix) < offset:
            self._set_end(transaction, prefix, offset)

    def _commit(self, transaction: Transaction) -> None:
        transaction.commit()
        self._transaction = None
        self._environment.ids.update(self._ids)

    def _id(self, transaction: Transaction, kind: bytes, name: str) -> bytes:
        """Return the number of a space or log. Its first use assigns it. Numbers are never reused."""
        prefix = self._ids.get((kind, name)) or known(self._environment, transaction, kind, name)
        if prefix is None:
            names = self._environment.names
            prefix = self._ids[kind, name] = number(transaction.stat(names)["entries"])
            at = encoded(kind, name.encode())
            transaction.put(at, self._environment.seal(at, prefix), db=names)
        return prefix
