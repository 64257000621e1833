"""Small worlds to learn from: floats with gaps and extremes, texts with nulls, rare levels and odd letters."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mainstem.models.data.rows import NULL, Examples, Rows

HOUR = 3_600_000_000
LEVELS = np.array(["EWR", "JFK", "LGA", "", "Zürich ✈", "東京", NULL, "a b", "x" * 300], object)


def make_rows(n: int, seed: int = 0, *, floats: int = 5, strings: int = 2) -> Rows:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(0, 10, (n, floats)).astype(np.float32)
    for j in range(floats):
        if j % 2:
            numbers[rng.random(n) < 0.1, j] = np.nan
    if floats > 2:
        numbers[:, 2] = np.round(numbers[:, 2])  # ties
    texts = rng.choice(LEVELS, (n, strings)) if strings else np.empty((n, 0), object)
    if strings > 1:
        texts[rng.random(n) < 0.02, 1] = "rare"
        texts[:5, 1] = [f"once {i}" for i in range(min(n, 5))]
    return Rows(numbers, texts)


def make_examples(task: str, n: int = 1500, seed: int = 0, **widths: int) -> Examples:
    rows = make_rows(n, seed, **widths)
    rng = np.random.default_rng(seed + 1)
    signal = rng.normal(0, 3, n)
    if rows.floats.shape[1]:
        signal += np.nan_to_num(rows.floats[:, 0])
    if rows.strings.shape[1]:
        signal += 8.0 * (rows.strings[:, 0] == "JFK") - 8.0 * (rows.strings[:, 0] == NULL)
    y = {
        "binary": (signal > 4).astype(np.int64),
        "multiclass": np.digitize(signal, [-5, 5]),
        "regression": signal * 7 + 30,
    }[task]
    return Examples(rows, y, np.arange(n, dtype=np.int64) * HOUR, task, {"multiclass": 3}.get(task, 0))


@pytest.fixture(params=["binary", "multiclass", "regression"])
def task(request):
    return request.param


@pytest.fixture(params=["naive", "linear", "lightgbm"])
def name(request):
    return request.param


@pytest.fixture
def worlds():
    """The makers above, for tests to call."""
    return SimpleNamespace(rows=make_rows, examples=make_examples)
