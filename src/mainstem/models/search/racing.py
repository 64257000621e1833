"""Which candidates of a large table are not worth a fit in the folds that are left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mainstem.models import splits
from mainstem.models.evaluation.comparison import Fold, Outcome, mean_of
from mainstem.models.metrics import Metric
from mainstem.models.search.evidence import confidence

MANY_CELLS = 250_000
"""Rows times inputs of a fold from which a fit costs more than it may tell."""

SURE = 0.99
"""The share of resamples in which the best candidate must be better than one that is left out."""


def behind(folds: Sequence[Fold], found: Mapping[str, Sequence[Outcome]], judge: Metric) -> Mapping[str, str]:
    """Return the candidates that are worse than the best one so far by more than noise, and how sure that is.

    Both are judged on the same resamples of the rows. All candidates go on where rows have times, for a later period
    may tell another order of the candidates than an early one; and on a small table.
    """
    past = folds[0].past
    inputs = past.rows.width
    if splits.is_timed(past.times) or len(past) * inputs < MANY_CELLS:
        return {}
    means = {name: mean_of([one.value for one in outcomes], folds) for name, outcomes in found.items()}
    defined = {name: judge.sign * mean for name, mean in means.items() if mean == mean}
    if not defined:
        return {}
    best = max(defined, key=lambda name: defined[name])
    ours = [one.scores for one in found[best]]
    sure = {
        name: confidence(judge, folds, ours, [one.scores for one in found[name]]) for name in defined if name != best
    }
    return {name: f"{best} is better in {each:.0%} of resamples" for name, each in sure.items() if each >= SURE}
