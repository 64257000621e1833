"""The gate: an exported artifact must score like the fitted model, on rows made to reveal differences.

Conversions can be wrong without an error: trees behind a scaler were off by 0.45, isotonic calibration by 0.69.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import GateError
from mainstem.models.algorithms.base import Estimator
from mainstem.models.artifact.manifest import Agreement
from mainstem.models.artifact.scorer import run, session
from mainstem.models.data.rows import NULL, Rows

ABSOLUTE, RELATIVE = 1e-6, 1e-5

EXTREMES = np.array([np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e-38, 0.0, -0.0, 1.0, -1.0, 1e9, -1e9], np.float32)
LEVELS = (NULL, "", " ", "no such level", "Zürich ✈ 東京", "0", "NaN", "null", "None", "x" * 500)
SINGLE = 25
"""The number of rows that are also scored one by one: runtimes have a separate code path for a single row."""


def check(estimator: Estimator, model: bytes, held_out: Rows, *, rows: int = 2_000, seed: int = 0) -> Agreement:
    """Return how closely the artifact agrees, on held-out rows and on disturbed copies. Raises `GateError`."""
    random = np.random.default_rng(seed)
    some = held_out.take(np.sort(random.permutation(len(held_out.floats))[:rows]))
    trial = _joined([some, disturbed(some, random), _blank(some)])
    loaded = session(model)
    expected, found = estimator.scores(trial), run(loaded, trial)
    if expected.shape != found.shape:
        raise GateError("the artifact's scores have another shape", got=str(found.shape), expected=str(expected.shape))
    # Where large terms cancel out, float32 leaves an error of their size, and not of the sum's.
    usual = float(np.median(np.abs(expected[: len(some)])))
    largest = _compare(trial, expected, found, usual)
    for row in random.permutation(len(expected))[:SINGLE]:
        one = np.array([row])
        largest = max(largest, _compare(trial.take(one), expected[one], run(loaded, trial.take(one)), usual))
    return Agreement(len(expected), float(largest))


def disturbed(rows: Rows, random: np.random.Generator) -> Rows:
    """Return a copy in which a quarter of the cells are nulls, extremes, unknown levels, or another row's values."""
    floats, strings = rows.floats.copy(), rows.strings.copy()
    for j in range(floats.shape[1]):
        hit = random.random(len(floats)) < 0.2
        floats[hit, j] = random.choice(EXTREMES, int(hit.sum()))
        scaled = random.random(len(floats)) < 0.05
        with np.errstate(over="ignore"):
            floats[scaled, j] *= np.float32(60)
    for j in range(strings.shape[1]):
        hit = random.random(len(strings)) < 0.2
        strings[hit, j] = random.choice(np.array(LEVELS, object), int(hit.sum()))
        strings[:, j] = np.where(random.random(len(strings)) < 0.05, random.permutation(strings[:, j]), strings[:, j])
    return Rows(floats, strings)


def _blank(rows: Rows) -> Rows:
    """Return a row with all values missing, and a row for each extreme and each level in all columns."""
    floats = np.repeat(np.append(EXTREMES, np.full(len(LEVELS), np.nan, np.float32))[:, None], rows.floats.shape[1], 1)
    levels = np.array([NULL] * len(EXTREMES) + list(LEVELS), object)
    return Rows(floats.astype(np.float32), np.repeat(levels[:, None], rows.strings.shape[1], 1))


def _joined(parts: list[Rows]) -> Rows:
    return Rows(np.vstack([p.floats for p in parts]), np.vstack([p.strings for p in parts]))


def _compare(trial: Rows, expected: NDArray[np.float64], found: NDArray[np.float64], usual: float) -> float:
    """Return the largest distance in units of the tolerance, which is relative to the score, at least to a `usual` one.

    Raises `GateError` with the first row beyond the tolerance, or with a score that is not finite.
    """
    with np.errstate(invalid="ignore"):
        distance = np.abs(found - expected) / (ABSOLUTE + RELATIVE * np.maximum(np.abs(expected), usual))
    distance = np.where(np.isfinite(expected) & np.isfinite(found), distance, np.inf)
    by_row = distance.reshape(len(distance), -1).max(1)
    worst = int(by_row.argmax())
    if not by_row[worst] <= 1:
        raise GateError(
            "the exported artifact does not score like the fitted model",
            where=f"floats {trial.floats[worst].tolist()}, strings {trial.strings[worst].tolist()}",
            got=str(found[worst].tolist()),
            expected=f"{expected[worst].tolist()}, within {ABSOLUTE:g} + {RELATIVE:g}·|y|, where |y| ≥ {usual:.4g}",
            hint=f"{int((by_row > 1).sum())} of {len(by_row)} rows differ; the version was not saved",
        )
    return float(by_row[worst])
