"""How spaces, logs and keys become LMDB keys, which are at most 511 bytes long.

All spaces share one database, and each has a number that its keys begin with: LMDB's named databases are bounded when
the environment is opened and each costs every transaction, while a space is made for every fingerprint of a view.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

LONGEST = 511
PREFIX = 4
_ROOM = LONGEST - PREFIX
_LITERAL, _HASHED, _NAME = b"\x00", b"\x01", b"\x02"


def encoded(prefix: bytes, key: bytes) -> bytes:
    """`prefix` and `key`; a key that is too long by its 256-bit hash, for no two keys of one hash are known."""
    if len(key) < _ROOM:
        return prefix + _LITERAL + key
    return prefix + _HASHED + blake2b(key, digest_size=32).digest()


def all_encoded(prefix: bytes, keys: Iterable[bytes]) -> list[bytes]:
    """Many keys, quickly."""
    begin = prefix + _LITERAL
    return [begin + key if len(key) < _ROOM else encoded(prefix, key) for key in keys]


def is_long(key: bytes) -> bool:
    """Whether a key is too long to stand in full."""
    return len(key) >= _ROOM


def name_of(encoded: bytes) -> bytes | None:
    """Where a key that was too long stands in full, beside its hash; None for one that was not."""
    prefix, how, rest = encoded[:PREFIX], encoded[PREFIX : PREFIX + 1], encoded[PREFIX + 1 :]
    return prefix + _NAME + rest if how == _HASHED else None


def is_name(encoded: bytes) -> bool:
    """Whether it is a key that was too long, in full, and no entry of its own."""
    return encoded[PREFIX : PREFIX + 1] == _NAME


def decoded(name: bytes) -> tuple[bytes, str]:
    """The kind and the name in a key of names; of a name that was too long only its hash."""
    kind, how, rest = name[:1], name[1:2], name[2:]
    return kind, rest.decode() if how == _LITERAL else rest.hex()


def offset_key(log: bytes, offset: int) -> bytes:
    """Big-endian, so that LMDB's order of bytes is the order of offsets."""
    return log + offset.to_bytes(8, "big")


def number(value: int) -> bytes:
    return value.to_bytes(PREFIX, "big")


def after(prefix: bytes) -> bytes:
    """The first key that is beyond all that begin with `prefix`."""
    return number(int.from_bytes(prefix, "big") + 1)
