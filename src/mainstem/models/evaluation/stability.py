"""How a version does over time: the metric in blocks of the test rows, and the parts on the time axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mainstem.models import splits
from mainstem.models.evaluation.outofsample import OutOfSample
from mainstem.models.metrics import Metric, measure
from mainstem.nodes.evaluations import Block
from mainstem.nodes.instants import instant_of

MOST_BLOCKS, FEWEST_ROWS = 12, 50
DRAWS = 100


def stability(measured: OutOfSample, judge: Metric, units: NDArray[np.int64] | None) -> tuple[Block, ...]:
    """Return the metric in blocks of about equally many rows, cut at instants. Without time there are no blocks."""
    examples = measured.examples
    times = examples.times
    if not splits.is_timed(times):
        return ()
    count = max(1, min(MOST_BLOCKS, len(times) // FEWEST_ROWS))
    cuts = np.array([len(times) * k // count for k in range(1, count)], np.intp)
    edges = np.unique(np.sort(times)[cuts])
    place = np.searchsorted(edges, times, side="right")
    found = []
    for number in range(len(edges) + 1):
        rows = np.flatnonzero(place == number)
        y, groups = examples.truth[rows], None if units is None else units[rows]
        value = measure(judge, y, measured.scores[rows], groups=groups, resamples=DRAWS, seed=examples.seed)
        if not np.isfinite([value.value, value.low, value.high]).all():
            continue
        naive = judge.value(y, measured.naive[rows])
        span = instant_of(int(times[rows].min())), instant_of(int(times[rows].max()))
        found.append(Block(*span, value, float(naive) if np.isfinite(naive) else None))
    return tuple(found)
