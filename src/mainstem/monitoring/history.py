"""What a clean history shows by itself: how far stretches of it lie from the rest.

A test against one reference asks whether two seasons differ, and they do. What matters is whether the stretch at hand
lies further away than clean stretches of the same length ever did; a year of training rows answers that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Micros = NDArray[np.int64]

MINUTE = 60_000_000
DAY = 86_400_000_000
WEEK = 7 * DAY
FEWEST = 8
MOST = 60


def stretch(span: int, history: int) -> int:
    """How long the stretches are that a partition of `span` µs is compared with: as long, but at most a week, and short
    enough that a dozen fit into the history. Shorter ones vary more, so a long partition is judged with mercy."""
    return max(min(span, WEEK, history // 12), MINUTE)


def stretches(times: Micros, length: int, fewest_rows: int = 50) -> Iterator[NDArray[np.intp]]:
    """Row numbers of consecutive stretches of `length` µs, counted back from the last; at most `MOST`."""
    if not len(times):
        return
    number = (int(times.max()) - times) // length
    order = np.argsort(number, kind="stable")
    found, starts = np.unique(number[order], return_index=True)
    parts = [part for part in np.split(order, starts[1:]) if len(part) >= fewest_rows] if len(found) else []
    if parts:
        chosen = np.unique(np.linspace(0, len(parts) - 1, min(len(parts), MOST)).astype(int))
        yield from (parts[int(i)] for i in chosen)


def clusters(times: Micros) -> NDArray[Any]:
    """A number per row for what is drawn together in resampling: its day; its hour or minute where days are few.

    Rows of one hour share weather and delays. Taken as independent they would promise a certainty they do not have.
    """
    for unit in (DAY, DAY // 24, MINUTE):
        number = times // unit
        if len(np.unique(number)) >= FEWEST:
            return np.unique(number, return_inverse=True)[1]
    return np.arange(len(times))
