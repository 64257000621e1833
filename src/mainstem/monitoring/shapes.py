"""How the predictions of a day are distributed: scores, decisions, nulls, unknown entities."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from mainstem.monitoring.partition import Batch
from mainstem.monitoring.verdicts import Shape
from mainstem.nodes.hidden import DECISION, FLAGS, RANK
from mainstem.nodes.models import CLASSES

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 20
MOST = 12
"""The options that are counted by name; others are counted together."""

OTHER, UNDECIDED = "other", "undecided"


def shape_of(batch: Batch, task: str) -> Shape:
    """Return the shape of predictions of a task."""
    scores = batch.scores[np.isfinite(batch.scores)]
    quantiles = tuple(float(each) for each in np.quantile(scores, QUANTILES)) if len(scores) else ()
    histogram: tuple[int, ...] = ()
    if task in CLASSES and len(scores):
        counts, _edges = np.histogram(np.clip(scores, 0, 1), BINS, (0, 1))
        histogram = tuple(int(each) for each in counts)
    flags = batch.table[FLAGS].to_pylist()
    unknown = sum("unknown:" in (each or "") for each in flags)
    return Shape(quantiles, histogram, _decisions(batch), unknown, _nulls(batch))


def _decisions(batch: Batch) -> dict[str, int]:
    """Return how often each option was taken; nothing for an endpoint that does not decide, or among candidates."""
    decided = batch.table[DECISION].to_pylist()
    if all(each is None for each in decided) or batch.table[RANK].null_count < len(batch):
        return {}
    counts = Counter(UNDECIDED if each is None else each for each in decided)
    named = counts.most_common()
    others = sum(count for _, count in named[MOST:])
    return {**dict(sorted(named[:MOST])), **({OTHER: others} if others else {})}


def _nulls(batch: Batch) -> dict[str, float]:
    shares = {name: float(np.mean(_is_null(column))) for name, column in batch.inputs.columns.items() if len(column)}
    return {name: share for name, share in shares.items() if share}


def _is_null(column: Any) -> Any:
    return np.isnan(column) if column.dtype.kind == "f" else np.array([value is None for value in column])
