"""Checksums of what LMDB stores: a flipped bit in a record is an error, not another value.

A record is followed by the CRC-32 of its key and itself. So a record that stands at the place of another is noticed.
"""

from __future__ import annotations

from zlib import crc32

from mainstem.errors import StorageError

SIZE = 4
"""The bytes of a checksum."""


def sealed(key: bytes, value: bytes) -> bytes:
    """Return a value with its checksum."""
    return value + crc32(value, crc32(key)).to_bytes(SIZE, "little")


def unsealed(key: bytes, stored: bytes) -> bytes:
    """Return the value of what is stored at a key. Raises `StorageError` if it is not what was stored."""
    value = stored[:-SIZE]
    if crc32(value, crc32(key)) != int.from_bytes(stored[-SIZE:], "little"):
        error = StorageError(
            "a record of the online store is damaged",
            got=f"{len(value):,} bytes that do not have their checksum",
            hint="restore a backup; or stop the server, move the directory away, and mainstem run rebuilds it from the "
            "lake, without what was acknowledged since the last run",
        )
        error.of_one_record = True
        raise error
    return value


def plain(key: bytes, value: bytes) -> bytes:
    """Return a value as it is: stores from before there were checksums have none."""
    return value
