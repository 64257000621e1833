"""Small data sets to learn from: numbers with gaps and ties, texts with nulls, rare levels and unusual letters."""

from __future__ import annotations

import numpy as np

from mainstem.models.data.rows import NULL, Examples, Rows
from mainstem.nodes.models import Task

HOUR = 3_600_000_000
LEVELS = np.array(["EWR", "JFK", "LGA", "", "Zürich ✈", "東京", NULL, "a b", "x" * 300], object)


LEVELS_OF: dict[Task, tuple[float, ...]] = {"quantile": (0.1, 0.5, 0.9)}
"""The quantiles of the examples."""

TARGETS: dict[Task, Task] = {"quantile": "regression", "ranking": "multiclass"}
"""The tasks that have the target of another one."""

RANKED = 15
"""The rows of a query of the examples."""


def rows(n: int, seed: int = 0, *, floats: int = 5, strings: int = 2) -> Rows:
    """Return `n` rows. Every other number is missing in a tenth of them; the third has ties."""
    random = np.random.default_rng(seed)
    numbers = random.normal(0, 10, (n, floats)).astype(np.float32)
    for j in range(floats):
        if j % 2:
            numbers[random.random(n) < 0.1, j] = np.nan
    if floats > 2:
        numbers[:, 2] = np.round(numbers[:, 2])
    texts = random.choice(LEVELS, (n, strings)) if strings else np.empty((n, 0), object)
    if strings > 1:
        texts[random.random(n) < 0.02, 1] = "rare"
        texts[:5, 1] = [f"once {i}" for i in range(min(n, 5))]
    return Rows(numbers, texts)


def examples(task: Task, n: int = 1500, seed: int = 0, *, floats: int = 5, strings: int = 2) -> Examples:
    """Return examples an hour apart. The target follows the first number and the first text, with noise."""
    found = rows(n, seed, floats=floats, strings=strings)
    signal = np.random.default_rng(seed + 1).normal(0, 3, n)
    if floats:
        signal += np.nan_to_num(found.floats[:, 0])
    if strings:
        signal += 8.0 * (found.strings[:, 0] == "JFK") - 8.0 * (found.strings[:, 0] == NULL)
    y = {
        "binary": (signal > 4).astype(np.int64),
        "multiclass": np.digitize(signal, [-5, 5]),
        "regression": signal * 7 + 30,
        "count": np.random.default_rng(seed + 2).poisson(np.exp(np.clip(signal, -20, 20) / 8)).astype(float),
    }[TARGETS.get(task, task)]
    names = (*(f"number_{j}" for j in range(floats)), *(f"text_{j}" for j in range(strings)))
    times = np.arange(n, dtype=np.int64) * HOUR
    levels = LEVELS_OF.get(task, ())
    queries = np.arange(n) // RANKED if task == "ranking" else None
    classes = {"multiclass": 3}.get(task, len(levels))
    return Examples(found, y, times, task, classes, names=names, quantiles=levels, queries=queries)
