"""Splits follow the data: by time with a gap for late outcomes, by group if keys repeat, else stratified.

Pure functions over int64 microseconds. A cut is an instant, not a row, so rows of one instant stay together. A row is
in training if its time is before the cut minus the gap, and in the test if its time is at or after the cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.nodes.durations import microseconds

Times = NDArray[np.int64]
Rows = NDArray[np.intp]

SMALLEST = 20
"""The minimum number of rows on each side of a split."""


@dataclass(frozen=True, eq=False)
class Split:
    """Ascending row numbers of the two sides. `gap` rows are on neither side. `cut` is None unless split by time."""

    train: Rows
    test: Rows
    gap: Rows
    cut: int | None = None


def split(
    times: Times, y: NDArray[Any], *, test: float | str, gap: str, seed: int = 0, groups: NDArray[Any] | None = None
) -> Split:
    """Split off the latest `test` (a share of the rows, or a duration such as `60d`), with `gap` before it.

    If all rows have one time, the test is a share of the `groups` if any group has several rows, else a stratified
    share of the rows. Raises `ModelError` if a side is too small.
    """
    found = parted(times, y, test=test, gap=gap, seed=seed, groups=groups)
    return _checked(found, f"test={test!r}, gap={gap!r}")


def parted(
    times: Times, y: NDArray[Any], *, test: float | str, gap: str, seed: int = 0, groups: NDArray[Any] | None = None
) -> Split:
    """Return the same split without a minimum size."""
    share = test if isinstance(test, float) else 0.2
    if len(times) and times.min() < times.max():
        return by_time(times, cut_of(times, test), microseconds(gap))
    return by_group(groups, share, seed) if _repeated(groups) else stratified(y, share, seed)


def cut_of(times: Times, test: float | str) -> int:
    """Return the instant at which the test begins: for a share of the rows, or for a duration up to the last row."""
    if isinstance(test, str):
        return int(times.max()) - microseconds(test)
    if not 0 < test < 1:
        raise ModelError("`test` must be a share between 0 and 1", got=str(test), hint="test=0.2, or test='60d'")
    ordered = np.sort(times)
    return int(ordered[min(len(ordered) - 1, int(np.ceil(len(ordered) * (1 - test))))])


def by_time(times: Times, cut: int, gap: int) -> Split:
    """Split into rows before `cut − gap` and rows from `cut` on."""
    train, test = times < cut - gap, times >= cut
    return Split(np.flatnonzero(train), np.flatnonzero(test), np.flatnonzero(~train & ~test), cut)


def folds(
    times: Times, y: NDArray[Any], *, count: int, gap: str, seed: int = 0, groups: NDArray[Any] | None = None
) -> list[Split]:
    """Return expanding folds. The time is cut into `count` + 1 blocks of similar size.

    Each block but the first is predicted from all earlier ones, less the gap. If all rows have one time, folds are by
    groups that repeat, else stratified. Raises `ModelError` if there are too few rows.
    """
    if count < 1:
        raise ModelError("`folds` must be at least 1", got=f"folds={count}")
    if len(times) and times.min() < times.max():
        found = _expanding(times, count, microseconds(gap))
    elif _repeated(groups):
        found = _folds_of(_places(groups, seed), max(count, 2))
    else:
        found = _folds_of(_dealt(y, seed), max(count, 2))
    return [_checked(fold, f"folds={count}, gap={gap!r}") for fold in found]


def _expanding(times: Times, count: int, gap: int) -> list[Split]:
    ordered = np.sort(times)
    starts = [int(ordered[len(ordered) * k // (count + 1)]) for k in range(1, count + 1)]
    ends = [*starts[1:], int(ordered[-1]) + 1]
    found = []
    for start, end in zip(starts, ends, strict=True):
        train, test = times < start - gap, (times >= start) & (times < end)
        between = (times >= start - gap) & (times < start)
        found.append(Split(np.flatnonzero(train), np.flatnonzero(test), np.flatnonzero(between), start))
    return found


def stratified(y: NDArray[Any], share: float, seed: int) -> Split:
    """Split off a random `share` of the rows, with equal shares of each class."""
    return _one(_dealt(y, seed) < share)


def by_group(groups: Any, share: float, seed: int) -> Split:
    """Split off a random `share` of the groups, at least one. Rows of one key stay on one side."""
    places = _places(groups, seed)
    return _one(places < max(share, float(places.min(initial=1.0)) * 2))


def latest(times: Times, limit: int, seed: int = 0) -> Rows:
    """Return at most `limit` ascending row numbers: later rows are sampled more, and all of the past is represented.

    The time is cut into ten blocks of similar size with weights 1, 2, … 10, because predictions follow the latest rows.
    """
    if len(times) <= limit:
        return np.arange(len(times))
    random = np.random.default_rng(seed)
    blocks = np.array_split(np.argsort(times, kind="stable"), 10)
    chosen, left, weight = [], limit, sum(range(1, 11))
    for number, block in zip(range(10, 0, -1), reversed(blocks), strict=True):
        take = min(len(block), round(left * number / weight))
        chosen.append(random.choice(block, take, replace=False))
        left, weight = left - take, weight - number
    return np.sort(np.concatenate(chosen))


def _folds_of(places: NDArray[np.float64], count: int) -> list[Split]:
    return [_one((places >= k / count) & (places < (k + 1) / count)) for k in range(count)]


def _repeated(groups: NDArray[Any] | None) -> bool:
    return groups is not None and len(np.unique(groups)) < len(groups)


def _places(groups: Any, seed: int) -> NDArray[np.float64]:
    """Return a place in [0, 1) for each row, equal for all rows of a group."""
    distinct, of_row = np.unique(groups, return_inverse=True)
    return np.asarray((np.random.default_rng(seed).permutation(len(distinct))[of_row] + 0.5) / max(len(distinct), 1))


def _dealt(y: NDArray[Any], seed: int) -> NDArray[np.float64]:
    """Return a place in [0, 1) for each row. The rows of a class (or all rows of a regression) get evenly spread
    places."""
    random = np.random.default_rng(seed)
    distinct, of_row = np.unique(y, return_inverse=True)
    kinds = of_row if len(distinct) <= 50 else np.zeros(len(y), int)
    places = np.empty(len(y))
    for kind in range(int(kinds.max(initial=-1)) + 1):
        rows = np.flatnonzero(kinds == kind)
        places[random.permutation(rows)] = (np.arange(len(rows)) + 0.5) / len(rows)
    return places


def _one(test: NDArray[np.bool_]) -> Split:
    return Split(np.flatnonzero(~test), np.flatnonzero(test), np.empty(0, np.intp))


def _checked(found: Split, what: str) -> Split:
    if min(len(found.train), len(found.test)) < SMALLEST:
        raise ModelError(
            "too few labelled rows to split",
            got=f"{len(found.train)} before, {len(found.gap)} in the gap, {len(found.test)} after ({what})",
            expected=f"at least {SMALLEST} on each side",
            hint="more examples, fewer folds, or a shorter gap",
        )
    return found
