"""One prediction explained: the contributions of its inputs, in the unit of the score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstem.models.data.columns import split_inputs
from mainstem.models.data.rows import Rows
from mainstem.models.evaluation.shapley import shapley
from mainstem.nodes.explanations import Contribution, Explanation
from mainstem.nodes.records import ModelVersion

if TYPE_CHECKING:
    from mainstem.models.artifact.scorer import Scorer


def explained(
    version: ModelVersion, scorer: Scorer, row: Rows, background: Rows, values: Mapping[str, Any]
) -> Explanation:
    """Return the explanation of one row beside background rows. `values` are its inputs as they are shown.

    Of several classes, it explains the probability of the likeliest one; of quantiles, the median.
    """
    found = shapley(scorer.score_rows, row, background)
    (score,) = scorer.score_rows(row)
    base, effects, errors, label = found.base, found.effects, found.errors, None
    if np.ndim(score):
        best = scorer.best(score)
        label = scorer.classes[best]
        score, base, effects, errors = score[best], base[best], effects[:, best], errors[:, best]
    floats, strings = split_inputs(version.inputs)
    sources = {column.name: column.sources for column in version.inputs}
    each = [
        Contribution(name, values[name], float(effects[i]), float(errors[i]), sources[name])
        for i, name in enumerate((*floats, *strings))
    ]
    each.sort(key=lambda contribution: -abs(contribution.effect))
    return Explanation(version.id, float(score), float(base), tuple(each), len(background), label)
