"""The encoding of spaces, logs and keys as LMDB keys, which are at most 511 bytes long.

All spaces share one database; the keys of a space begin with its number. Separate LMDB databases are not used: their
number is fixed when the environment is opened, each makes every transaction slower, and every fingerprint of a view
needs a space.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

LONGEST = 511
PREFIX = 4
_ROOM = LONGEST - PREFIX
_LITERAL, _HASHED, _NAME = b"\x00", b"\x01", b"\x02"


def encoded(prefix: bytes, key: bytes) -> bytes:
    """Return `prefix` and `key`. A key that is too long is replaced by its 256-bit hash; collisions are
    not expected."""
    if len(key) < _ROOM:
        return prefix + _LITERAL + key
    return prefix + _HASHED + blake2b(key, digest_size=32).digest()


def all_encoded(prefix: bytes, keys: Iterable[bytes]) -> list[bytes]:
    """Return many keys encoded. This is faster than single calls."""
    begin = prefix + _LITERAL
    return [begin + key if len(key) < _ROOM else encoded(prefix, key) for key in keys]


def is_long(key: bytes) -> bool:
    """Return whether a key is too long to be stored unhashed."""
    return len(key) >= _ROOM


def name_of(encoded: bytes) -> bytes | None:
    """Return the key of the entry that stores a long key in full; None for a key that is not too long."""
    prefix, how, rest = encoded[:PREFIX], encoded[PREFIX : PREFIX + 1], encoded[PREFIX + 1 :]
    return prefix + _NAME + rest if how == _HASHED else None


def is_literal(encoded: bytes) -> bool:
    """Return whether an LMDB key ends with the key as it was given."""
    return encoded[PREFIX] == _LITERAL[0]


def is_name(encoded: bytes) -> bool:
    """Return whether an LMDB key belongs to an entry that stores a long key in full."""
    return encoded[PREFIX : PREFIX + 1] == _NAME


def decoded(name: bytes) -> tuple[bytes, str]:
    """Return the kind and the name of a key of names. For a name that was too long it is the hash."""
    kind, how, rest = name[:1], name[1:2], name[2:]
    return kind, rest.decode() if how == _LITERAL else rest.hex()


def offset_key(log: bytes, offset: int) -> bytes:
    """Return an offset as a big-endian key, so that LMDB sorts entries by offset."""
    return log + offset.to_bytes(8, "big")


def number(value: int) -> bytes:
    return value.to_bytes(PREFIX, "big")


def after(prefix: bytes) -> bytes:
    """Return the first key after all keys that begin with `prefix`."""
    return number(int.from_bytes(prefix, "big") + 1)
