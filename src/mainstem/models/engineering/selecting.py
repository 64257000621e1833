"""Which inputs a fit leaves out, each with its reason.

Shadows are shuffled copies of the inputs (Kursa and Rudnicki, "Feature selection with the Boruta package", 2010). Drift
is adversarial validation: what tells early from late rows is left out if late rows are predicted no worse without it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models import splits
from mainstem.models.algorithms import libraries
from mainstem.models.data.rows import Examples, Matrix
from mainstem.models.engineering.strength import ranked, strengths
from mainstem.models.metrics import METRICS
from mainstem.models.preprocessing import TREES, fit
from mainstem.nodes.engineering import Selection
from mainstem.nodes.models import CLASSES

ROUNDS = 5
"""Fits with shadows. An input that is behind them in each is left out."""

TREES_EACH = 60
MOST_ROWS = 20_000
COMPARED_ROWS = 5_000
FEWEST_ROWS = 100
"""Rows below which nothing is left out for shadows or drift: chance decides there."""

TELLING = 0.75
"""The area under the ROC curve from which an input alone tells early from late rows."""

MOST_DRIFTING = 10
BINS = 32

Reasons = dict[int, str]
"""Why inputs are left out, by number, floats first."""


def left_out(examples: Examples, asked: Selection, made: int) -> Reasons:
    """Return which inputs to leave out. The last `made` numbers are made of others, which are kept before them."""
    found: Reasons = {}
    if asked.correlated is not None:
        found |= _alike(examples, asked.correlated, made)
    some = examples.take(examples.some(MOST_ROWS, examples.seed))
    if len(some) < FEWEST_ROWS:
        return found
    if asked.drift and splits.is_timed(some.times):
        found |= _drifting(some, found)
    if asked.shadows:
        found |= _behind_shadows(some, found)
    return found if len(found) < _inputs(examples) else {}


def _inputs(examples: Examples) -> int:
    return int(examples.rows.floats.shape[1] + examples.rows.strings.shape[1])


def _name(examples: Examples, number: int) -> str:
    return repr(examples.names[number]) if examples.names else f"input {number}"


def _alike(examples: Examples, limit: float, made: int) -> Reasons:
    rows = examples.some(COMPARED_ROWS, examples.seed)
    floats, strings = examples.rows.floats[rows], examples.rows.strings[rows]
    width = floats.shape[1]
    found: Reasons = {}
    strong = strengths(floats, examples.targets[rows])
    ranks = ranked(floats.astype(np.float64))
    kept: list[int] = []
    for j in sorted(range(width), key=lambda j: (j >= width - made, -strong[j], j)):
        near = np.abs(ranks[:, j] @ ranks[:, kept]) if kept else np.empty(0)
        if len(near) and near.max() >= limit:
            first = kept[int(near.argmax())]
            found[j] = f"left out: nearly {_name(examples, first)}, rank correlation {near.max():.3f}"
        else:
            kept.append(j)
    codes = [np.unique(column.astype(str), return_inverse=True)[1] for column in strings.T]
    for j, code in enumerate(codes):
        for first in range(j):
            if width + first not in found and _same_levels(codes[first], code):
                found[width + j] = f"left out: the same levels as {_name(examples, width + first)}"
                break
    return found


def _same_levels(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Return whether each level of one is one level of the other."""
    pairs = len(np.unique(a.astype(np.int64) * (int(b.max(initial=0)) + 1) + b))
    return pairs == len(np.unique(a)) == len(np.unique(b)) and pairs > 1


def _drifting(examples: Examples, gone: Reasons) -> Reasons:
    cut = np.median(examples.times)
    late = examples.times > cut
    if not 0.1 < late.mean() < 0.9:
        return {}
    fitted, matrix = fit(examples, TREES)
    origins = np.array(fitted.origins, int)
    telling = []
    for number in sorted(set(origins.tolist()) - set(gone)):
        areas = [_tells(matrix[:, c], late) for c in np.flatnonzero(origins == number)]
        if areas and max(areas) >= TELLING:
            telling.append((max(areas), number))
    found: Reasons = {}
    if not telling:
        return found
    kept = ~np.isin(origins, list(gone))
    best = _late_loss(examples, matrix[:, kept], late)
    for area, number in sorted(telling, reverse=True)[:MOST_DRIFTING]:
        without = kept & (origins != number)
        if not without.any():
            break
        loss = _late_loss(examples, matrix[:, without], late)
        if loss <= best:
            found[number] = (
                f"left out: tells early from late rows (area {area:.2f}), and late ones are predicted no worse without"
            )
            kept, best = without, loss
    return found


def _tells(column: Matrix, late: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve of a histogram of the column, fitted on every other row."""
    known = column[~np.isnan(column)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1), method="lower")) if len(known) else known
    code = np.where(np.isnan(column), len(edges) + 1, np.searchsorted(edges, column, side="right"))
    fitted, judged = code[::2], code[1::2]
    size = len(edges) + 2
    shares = (np.bincount(fitted, late[::2], size) + 0.5) / (np.bincount(fitted, minlength=size) + 1)
    return METRICS["roc_auc"].value(late[1::2].astype(np.int64), shares[judged])


def _late_loss(examples: Examples, matrix: Matrix, late: NDArray[np.bool_]) -> float:
    early = examples.take(np.flatnonzero(~late))
    if examples.task in CLASSES and len(np.unique(early.y)) < 2:
        return float("inf")
    booster = _boosted(early, matrix[~late], examples.seed)
    scores, y = np.asarray(booster.predict(matrix[late])), examples.y[late]
    if examples.task == "binary":
        return METRICS["log_loss"].value(y, scores)
    if examples.task == "multiclass":
        return float(-np.log(np.clip(scores[np.arange(len(y)), y], 1e-6, 1)).mean())
    return float(((scores - y) ** 2).mean())


def _behind_shadows(examples: Examples, gone: Reasons) -> Reasons:
    fitted, matrix = fit(examples, TREES)
    origins = np.array(fitted.origins, int)
    kept = np.flatnonzero(~np.isin(origins, list(gone)))
    if len(np.unique(origins[kept])) < 2:
        return {}
    matrix, origins = matrix[:, kept], origins[kept]
    random = np.random.default_rng(examples.seed)
    best: dict[int, int] = dict.fromkeys(np.unique(origins).tolist(), 0)
    for number in range(ROUNDS):
        shadows = np.column_stack([random.permutation(column) for column in matrix.T])
        gains = _boosted(examples, np.hstack([matrix, shadows]), examples.seed + number).feature_importance("gain")
        own, bar = gains[: len(origins)], gains[len(origins) :].max()
        for origin in best:
            best[origin] += int(own[origins == origin].max() > bar)
    told = f"left out: gains no more than shuffled copies of the inputs in {ROUNDS} fits"
    behind = {origin: told for origin, count in best.items() if not count}
    return behind if len(behind) < len(best) else {}


def _boosted(examples: Examples, matrix: Matrix, seed: int) -> Any:
    library = libraries.lightgbm()
    objective = {"binary": "binary", "multiclass": "multiclass"}.get(examples.task, "regression")
    settings = {
        "objective": objective,
        "num_leaves": 15,
        "learning_rate": 0.1,
        "feature_fraction": 0.8,
        "min_data_in_leaf": max(5, min(100, len(examples) // 100)),
        "bin_construct_sample_cnt": max(len(examples), 1),
        "num_threads": libraries.lightgbm_threads(*matrix.shape),
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbosity": -1,
        **({"num_class": examples.classes} if examples.task == "multiclass" else {}),
    }
    return library.train(settings, library.Dataset(matrix, examples.y, weight=examples.weights), TREES_EACH)
