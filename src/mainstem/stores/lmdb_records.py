"""What an LMDB environment holds: the numbers of spaces and logs, values by key, and the ends of logs."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from mainstem.stores.environment import Environment, Transaction
from mainstem.stores.keys import PREFIX, all_encoded, encoded

SPACE, LOG = b"s", b"l"

FEW = 16
"""Fewer keys than this are read and written without a cursor."""


def known(environment: Environment, transaction: Transaction, kind: bytes, name: str) -> bytes | None:
    prefix: bytes | None = environment.ids.get((kind, name))
    if prefix is None:
        at = encoded(kind, name.encode())
        stored = transaction.get(at, db=environment.names)
        prefix = None if stored is None else environment.open(at, stored)
        # Only readers cache numbers: those of a write transaction may be rolled back.
        if prefix is not None and environment.writer != threading.get_ident():
            environment.ids[kind, name] = prefix
    return prefix


def end_of(environment: Environment, transaction: Transaction, log: bytes) -> int:
    stored = transaction.get(log, db=environment.ends)
    return 0 if stored is None else int.from_bytes(environment.open(log, stored), "big")


def values_of(
    environment: Environment, transaction: Transaction, space: str, keys: Sequence[bytes]
) -> list[bytes | None]:
    prefix = known(environment, transaction, SPACE, space)
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


def key_of(environment: Environment, transaction: Transaction, name: bytes | None, encoded: bytes) -> bytes:
    """Return a key as it was given. A hashed key is stored in full in its name."""
    return (
        encoded[PREFIX + 1 :] if name is None else environment.open(name, transaction.get(name, db=environment.values))
    )
