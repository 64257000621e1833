"""Folds: the same kind of split several times, each row tested at most once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.models.splits.parts import Split, Times, apart, checked, dealt, is_timed, one, places, repeated
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
) -> list[Split]:
    """Return expanding folds. The time is cut into `count` + 1 blocks of similar size.

    Each block but the first is predicted from all earlier ones, less the gap; with a `window`, from that much before
    the gap. Rows of one of the `groups` stay on one side. If all rows have one time, folds are by groups that repeat,
    else stratified. Raises `ModelError` if there are too few rows.
    """
    if count < 1:
        raise ModelError("`folds` must be at least 1", got=f"folds={count}")
    timed = is_timed(times)
    if timed:
        found = _expanding(times, count, microseconds(gap), microseconds(window) if window else None)
        found = [_grouped(fold, groups, seed) for fold in found] if repeated(groups) else found
    elif groups is not None and repeated(groups) and len(np.unique(groups)) > 1:
        found = _folds_of(places(groups, seed), min(max(count, 2), len(np.unique(groups))))
    else:
        found = _folds_of(dealt(y, seed), max(count, 2))
    return [checked(fold, f"folds={count}, gap={gap!r}" if timed else f"folds={count}", timed) for fold in found]


def _expanding(times: Times, count: int, gap: int, window: int | None) -> list[Split]:
    ordered = np.sort(times)
    starts = [int(ordered[len(ordered) * k // (count + 1)]) for k in range(1, count + 1)]
    ends = [*starts[1:], int(ordered[-1]) + 1]
    found = []
    for start, end in zip(starts, ends, strict=True):
        train, test = times < start - gap, (times >= start) & (times < end)
        train &= times >= start - gap - window if window is not None else True
        between = (times >= start - gap) & (times < start)
        found.append(Split(np.flatnonzero(train), np.flatnonzero(test), np.flatnonzero(between), start))
    return found


def _grouped(fold: Split, groups: Any, seed: int) -> Split:
    sides = [np.isin(np.arange(len(groups)), rows) for rows in (fold.train, fold.test)]
    train, test = apart(sides[0], sides[1], groups, seed)
    return Split(np.flatnonzero(train), np.flatnonzero(test), fold.gap, fold.cut)


def _folds_of(found: NDArray[np.float64], count: int) -> list[Split]:
    return [one((found >= k / count) & (found < (k + 1) / count)) for k in range(count)]
