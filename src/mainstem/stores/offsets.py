"""The offsets of payloads that are appended to a log."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate


def offsets_of(first: int, payloads: Sequence[bytes], sizes: Sequence[int] | None) -> Sequence[int]:
    """Return the offset of each payload, and the offset after the last one. Without sizes each takes one offset.

    Raises `ValueError` unless each payload has a size of at least 1.
    """
    if sizes is None:
        return range(first, first + len(payloads) + 1)
    if len(sizes) != len(payloads) or any(size < 1 for size in sizes):
        raise ValueError("each payload of a log takes at least one offset")
    return list(accumulate(sizes, initial=first))
