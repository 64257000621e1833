"""Detect inputs that predict the target alone. They are more often a leak than a discovery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import LeakError
from mainstem.models.data.columns import split_inputs
from mainstem.models.data.rows import Examples, Scores
from mainstem.models.metrics import METRICS
from mainstem.nodes.models import CLASSES, Task
from mainstem.nodes.records import InputColumn

SUSPICIOUS = 0.995
"""From this value on, a rank correlation (numbers) or an area under the ROC curve of one input is a
suspected leak."""

FEWEST_ROWS = 200
MOST_ROWS = 50_000
"""Rows beyond which a sample is looked at: it tells a strength to the third digit."""

BINS = 64

Codes = NDArray[np.int64]


def refuse(train: Examples, inputs: Sequence[InputColumn], assumed: Mapping[str, str]) -> None:
    """Raise `LeakError` for an input that alone predicts the target almost perfectly and is not `assumed`."""
    for name, strength in strengths(train, [c for c in inputs if c.name not in assumed], inputs):
        if strength >= SUSPICIOUS:
            raise LeakError(
                f"{name!r} probably leaks: alone it predicts the target almost perfectly",
                got=f"{_MEASURE[train.task]} {strength:.4f} on held-out rows",
                expected=f"less than {SUSPICIOUS} for a column that is known before the outcome",
                hint=f'leave it out, or give a reason: assume_known={{"{name}": "…"}}',
            )


def strengths(
    train: Examples, asked: Sequence[InputColumn], inputs: Sequence[InputColumn]
) -> Iterator[tuple[str, float]]:
    """Yield how well each input alone predicts: the mean target per bin on half of the rows ranks the other half. Each
    class of several rows is in both. Rows of a group stay together: what tells the group would tell the target of its
    other rows."""
    if len(train) < FEWEST_ROWS:
        return
    train = train.take(train.some(MOST_ROWS, train.seed)) if len(train) > MOST_ROWS else train
    first = _half(train)
    fitted, judged = np.flatnonzero(first), np.flatnonzero(~first)
    if not len(judged):
        return
    targets, wanted = train.targets, {column.name for column in asked}
    for name, codes in _coded(train, inputs, fitted):
        if name in wanted:
            means = _means(codes[fitted], targets[fitted], int(codes.max()) + 1)
            yield name, _strength(train.task, train.y[judged], means[codes[judged]])


def _half(train: Examples) -> NDArray[np.bool_]:
    """Return which rows are in the first half, drawn by the seed: in a fixed order they may alternate."""
    random = np.random.default_rng(train.seed)
    if train.groups is not None:
        groups, place = np.unique(train.groups, return_inverse=True)
        return np.asarray(random.permutation(len(groups))[place] % 2 == 0)
    order, first = random.permutation(len(train)), np.zeros(len(train), bool)
    kinds = train.y[order] if train.task in CLASSES else np.zeros(len(train), np.int64)
    for kind in np.unique(kinds):
        first[order[kinds == kind][::2]] = True
    return first


def _coded(train: Examples, inputs: Sequence[InputColumn], fitted: NDArray[np.intp]) -> Iterator[tuple[str, Codes]]:
    floats, strings = split_inputs(inputs)
    for j, name in enumerate(floats):
        yield name, _binned(train.rows.floats[:, j], fitted)
    for j, name in enumerate(strings):
        yield name, _levels(train.rows.strings[:, j])


def _levels(column: NDArray[Any]) -> Codes:
    import pyarrow as pa

    return np.asarray(pa.array(column, pa.string()).dictionary_encode().indices, np.int64)


def _binned(column: NDArray[np.float32], fitted: NDArray[np.intp]) -> Codes:
    """Return the quantile bin of each value. Missing values have their own bin."""
    known = column[fitted][~np.isnan(column[fitted])]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1), method="lower")) if len(known) else known
    return np.where(np.isnan(column), len(edges) + 1, np.searchsorted(edges, column, side="right")).astype(np.int64)


def _means(codes: Codes, targets: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Return [bins, T] mean targets. One row with the overall mean is added to each bin."""
    counts = np.bincount(codes, minlength=bins) + 1.0
    sums = np.column_stack([np.bincount(codes, t, minlength=bins) + t.mean() for t in targets.T])
    return np.asarray(sums / counts[:, None])


def _strength(task: Task, y: NDArray[Any], guess: Scores) -> float:
    if task not in CLASSES:
        return _rank_correlation(y, guess[:, 0])
    if task == "binary":
        return METRICS["roc_auc"].value(y, guess[:, 0])
    areas = [METRICS["roc_auc"].value((y == k).astype(int), guess[:, k]) for k in range(guess.shape[1])]
    return min((area for area in areas if area == area), default=float("nan"))


def _rank_correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return Spearman's correlation, with ties at their mean rank; NaN if one side is constant."""
    ranks = [_ranks(np.asarray(side, float)) for side in (a, b)]
    if any(r.std() == 0 for r in ranks):
        return float("nan")
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, of_row, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[of_row])


_MEASURE: dict[Task, str] = {
    "binary": "area under the ROC curve",
    "multiclass": "area under the ROC curve of the hardest class",
    "regression": "rank correlation",
    "count": "rank correlation",
    "quantile": "rank correlation",
    "ranking": "rank correlation",
}
