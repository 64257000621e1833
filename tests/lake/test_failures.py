"""Damaged files of the lake and the state are one clear error, whatever the libraries raise for them."""

from __future__ import annotations

import zlib

import pytest
from pyiceberg.exceptions import ResolveError

from mainstem.errors import StorageError
from mainstem.lake.failures import explained as in_the_lake
from mainstem.state.failures import explained as in_the_state

CAUSES: list[Exception] = [
    KeyError("type"),
    IndexError("list index out of range"),
    TypeError("'NoneType' object is not iterable"),
    OverflowError("int too big"),
    AssertionError(),
    zlib.error("invalid literal/lengths set"),
    EOFError("read 3 of 9 bytes"),
    ResolveError("File/read schema are not aligned for map, got None"),
]


@pytest.mark.parametrize("cause", CAUSES, ids=repr)
def test_a_flipped_bit_in_a_manifest_is_damage(cause: Exception) -> None:
    with pytest.raises(StorageError, match="the lake is damaged") as caught, in_the_lake("legs"):
        raise cause
    assert caught.value.where == "legs" and caught.value.__cause__ is cause


def test_a_database_whose_message_is_not_text_is_damaged() -> None:
    with pytest.raises(StorageError, match="the state cannot be read"), in_the_state("sqlite:///state.db"):
        b"\xc2 ".decode()
