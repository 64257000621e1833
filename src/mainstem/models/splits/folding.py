"""Folds: the same kind of split several times, each row tested at most once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.models.splits.parts import (
    SMALLEST,
    Split,
    Times,
    by_time,
    checked,
    dealt,
    is_timed,
    one,
    places,
    repeated,
    with_groups_apart,
)
from mainstem.nodes.durations import microseconds


def folds(
    times: Times,
    y: NDArray[Any],
    *,
    count: int,
    gap: str,
    seed: int = 0,
    groups: NDArray[Any] | None = None,
    window: str | None = None,
    known: Times | None = None,
) -> list[Split]:
    """Return expanding folds. The time is cut into `count` + 1 blocks of similar size; fewer if a side is too small.

    Each block but the first is predicted from all earlier ones, less the gap; with a `window`, from that much before
    the gap; with the times at which labels were `known`, from those that were known when it begins. Rows of one of the
    `groups` stay on one side. If all rows have one time, folds are by groups that repeat, else stratified. Raises
    `ModelError` if there are too few rows.
    """
    if count < 1:
        raise ModelError("`folds` must be at least 1", got=f"folds={count}")
    timed = is_timed(times)
    if timed:
        back = microseconds(window) if window else None

        def by(number: int) -> list[Split]:
            expanding = _expanding(times, number, microseconds(gap), back, known)
            return [with_groups_apart(fold, groups, seed) for fold in expanding] if repeated(groups) else expanding

        # Few folds of enough rows compare better than many of few. The last resort has a smaller minimum.
        found = next((some for number in range(count, 0, -1) if _enough(some := by(number))), None) or by(1)
    elif groups is not None and repeated(groups) and len(np.unique(groups)) > 1:
        found = _folds_of(places(groups, seed), min(max(count, 2), len(np.unique(groups))))
    else:
        found = _folds_of(dealt(y, seed), max(count, 2))
    what = f"folds={len(found)}, gap={gap!r}" if timed else f"folds={len(found)}"
    return [checked(fold, what, timed, len(times)) for fold in found]


def _expanding(times: Times, count: int, gap: int, window: int | None, known: Times | None) -> list[Split]:
    ordered = np.sort(times)
    starts = [int(ordered[len(ordered) * k // (count + 1)]) for k in range(1, count + 1)]
    ends = [*starts[1:], int(ordered[-1]) + 1]
    return [
        by_time(times, start, gap, window=window, known=known, end=end) for start, end in zip(starts, ends, strict=True)
    ]


def _enough(found: list[Split]) -> bool:
    return all(min(len(fold.train), len(fold.test)) >= SMALLEST for fold in found)


def _folds_of(found: NDArray[np.float64], count: int) -> list[Split]:
    return [one((found >= k / count) & (found < (k + 1) / count)) for k in range(count)]
