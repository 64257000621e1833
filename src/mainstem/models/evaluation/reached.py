"""How often targets are at or below each quantile, and between the lowest and the highest one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.quantiles import label_of
from mainstem.models.data.rows import Examples, Scores
from mainstem.models.metrics import Metric, measure
from mainstem.models.metrics.base import mean
from mainstem.nodes.evaluations import Reached

_SHARE = Metric("share", frozenset(), True, lambda truth, hits: mean(hits))


def reached(examples: Examples, scores: Scores, units: NDArray[np.int64] | None) -> tuple[Reached, ...]:
    """Return the share of targets at or below each quantile, and between the ends if there are several.

    The interval is a bootstrap of rows, or of the `units` [n] that they belong to. Other tasks have none.
    """
    if examples.task != "quantile":
        return ()
    y, levels = np.asarray(examples.y, float), examples.quantiles
    asked = [(f"≤ {label_of(level)}", level, y <= scores[:, place]) for place, level in enumerate(levels)]
    if len(levels) > 1:
        inside = (scores[:, 0] <= y) & (y <= scores[:, -1])
        asked.append((f"{label_of(levels[0])} to {label_of(levels[-1])}", round(levels[-1] - levels[0], 8), inside))
    return tuple(
        Reached(label, level, measure(_SHARE, hits, hits.astype(float), groups=units, seed=examples.seed))
        for label, level, hits in asked
    )
