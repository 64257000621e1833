"""A flipped bit in a record is an error, never another record."""

import pytest

from mainstem.errors import StorageError
from mainstem.nodes.records import Release, RunRecord
from mainstem.state.codec import decode, encode

RELEASE = Release("rel-1", "main", "run-1", online={"airport": "3f9a"}, models={"Ä": "late/1"})


def test_every_flipped_bit_of_a_record_is_noticed() -> None:
    body = encode(RELEASE).encode()
    assert decode(body.decode(), Release) == RELEASE
    changed = 0
    for place in range(len(body)):
        for bit in range(8):
            flipped = bytearray(body)
            flipped[place] ^= 1 << bit
            try:
                found = decode(bytes(flipped).decode(errors="replace"), Release)
            except StorageError:
                changed += 1
                continue
            assert found == RELEASE, (place, bit)  # a bit of the checksum's own name
    assert changed > 0.9 * 8 * len(body)


def test_a_record_of_an_earlier_version_is_read() -> None:
    assert decode('{"id":"run-1","branch":"main","status":"published"}', RunRecord).id == "run-1"


def test_the_error_says_what_is_damaged() -> None:
    body = encode(RELEASE).replace("3f9a", "3f9b")
    with pytest.raises(StorageError, match="a record of the state is damaged: a Release"):
        decode(body, Release)
