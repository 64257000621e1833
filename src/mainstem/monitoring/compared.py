"""What the metric of a task compares: outcomes and scores of logged predictions, in the form that metrics read."""

from __future__ import annotations

import json

import numpy as np

from mainstem.models.data.quantiles import level_of, packed
from mainstem.models.metrics import Array, Floats
from mainstem.monitoring.partition import Batch
from mainstem.nodes.hidden import QUERY, SCORES
from mainstem.nodes.records import ModelVersion


def compared(version: ModelVersion, known: Batch) -> tuple[Array, Array]:
    """Return the outcomes and the scores of rows with a known outcome, as `mainstem.models.metrics` defines them.

    The query of a ranking is that of the examples. The log has all quantiles, or classes, in one column.
    """
    if version.task == "ranking":
        queries = known.table[QUERY].combine_chunks().dictionary_encode().indices
        return np.column_stack([known.outcomes, queries.to_numpy(zero_copy_only=False)]), known.scores
    if version.task == "quantile":
        return packed(known.outcomes, [level_of(name) for name in version.classes]), _named(version, known)
    if version.task == "multiclass":
        return known.outcomes.astype(np.int64), _named(version, known)
    return known.outcomes, known.scores


def _named(version: ModelVersion, batch: Batch) -> Floats:
    """Return the logged scores by name [n, K], in the order of the version's names."""
    rows = [json.loads(text) for text in batch.table[SCORES].to_pylist()]
    scores = np.array([[row[name] for name in version.classes] for row in rows], float)
    return scores.reshape(len(rows), len(version.classes))
