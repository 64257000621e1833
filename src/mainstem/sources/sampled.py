"""A sample of the rows of a source, by the hash of some columns."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis

_PARTS = 1_000_000


def kept(rows: ibis.Table, columns: Sequence[str], fraction: float) -> ibis.Table:
    """Return the rows whose hash falls into the fraction; those with a null in a column are left out.

    The values are hashed as texts, so that a key has the same hash in columns of different integer types.
    """
    texts = [rows[column].cast("string") for column in columns]
    text = reduce(lambda one, other: one + "\x1f" + other, texts)
    part = (text.hash() % _PARTS + _PARTS) % _PARTS  # the remainder of a negative hash is negative
    found: ibis.Table = rows.filter(part < round(fraction * _PARTS))
    return found
