"""One split: by time, by group, stratified, or with groups kept apart. Pure functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError

Times = NDArray[np.int64]
Rows = NDArray[np.intp]
Mask = NDArray[np.bool_]

FOLD = "fold "
"""What the name of a fold begins with: `fold 1`, …"""

UNDRAWN = ", not drawn"
"""What the name of a part ends with, of rows that only a fit by the engine learns from."""

RARE = 5
"""A class with fewer rows is not spread on its own: each of its rows would get the same place."""

SMALLEST = 20
"""The minimum number of rows on each side of a split; of small tables, less: see `smallest`."""


@dataclass(frozen=True, eq=False)
class Split:
    """Ascending row numbers of the two sides. `gap` rows are on neither side, nor are `older` ones, which are before a
    window. `cut` is None unless split by time."""

    train: Rows
    test: Rows
    gap: Rows
    cut: int | None = None
    older: Rows = field(default_factory=lambda: np.empty(0, np.intp))


def by_time(
    times: Times, cut: int, gap: int, *, window: int | None = None, known: Times | None = None, end: int | None = None
) -> Split:
    """Split into rows before `cut − gap` and rows from `cut` on, before `end` if it is given.

    With a `window`, rows that are further before the gap are older. With the times at which labels were `known`, rows
    whose label was not known at the cut are not in the training.
    """
    train, test = times < cut - gap, times >= cut
    train_and_older = train & (known < cut if known is not None else True)
    older = train_and_older & (times < cut - gap - window) if window is not None else np.zeros(len(times), bool)
    train = train_and_older & ~older
    between = ~train & ~older & ~test
    test &= times < end if end is not None else True
    return Split(np.flatnonzero(train), np.flatnonzero(test), np.flatnonzero(between), cut, np.flatnonzero(older))


def with_groups_apart(found: Split, groups: Any, seed: int) -> Split:
    """Return a split by time without a group in common. The rows that this leaves out are in the gap."""
    train, test = (np.isin(np.arange(len(groups)), rows) for rows in (found.train, found.test))
    kept, tested = apart(train, test, groups, seed)
    given = np.asarray(groups)
    shared = np.isin(given[found.older], given[tested])
    out = np.concatenate([np.flatnonzero((train & ~kept) | (test & ~tested)), found.older[shared]])
    return Split(
        np.flatnonzero(kept), np.flatnonzero(tested), np.union1d(found.gap, out), found.cut, found.older[~shared]
    )


def stratified(y: NDArray[Any], share: float, seed: int) -> Split:
    """Split off a random `share` of the rows, with equal shares of each class."""
    return one(dealt(y, seed) < share)


def by_group(groups: Any, share: float, seed: int) -> Split:
    """Split off a random `share` of the groups, at least one. Rows of one key stay on one side."""
    found = places(groups, seed)
    return one(found < max(share, float(found.min(initial=1.0)) * 2))


def apart(train: Mask, test: Mask, groups: Any, seed: int) -> tuple[Mask, Mask]:
    """Return the two sides without a group in common: the test's groups leave the training.

    If that takes more than half of the training, as groups that last do, a random half of the groups is tested, and the
    other half is learned from.
    """
    tested = np.isin(groups, np.asarray(groups)[test])
    if 2 * int((train & ~tested).sum()) >= int(train.sum()):
        return train & ~tested, test
    held = places(groups, seed) < 0.5
    return train & ~held, test & held


def places(groups: Any, seed: int) -> NDArray[np.float64]:
    """Return a place in [0, 1) for each row, equal for all rows of a group."""
    distinct, of_row = np.unique(groups, return_inverse=True)
    return np.asarray((np.random.default_rng(seed).permutation(len(distinct))[of_row] + 0.5) / max(len(distinct), 1))


def dealt(y: NDArray[Any], seed: int) -> NDArray[np.float64]:
    """Return a place in [0, 1) for each row. The rows of a class get evenly spread places.

    So do all rows together that are of rare classes, or of a regression.
    """
    random = np.random.default_rng(seed)
    distinct, of_row, counts = np.unique(y, return_inverse=True, return_counts=True)
    kinds = np.where(counts[of_row] < RARE, 0, of_row + 1) if is_stratified(distinct) else np.zeros(len(y), int)
    places = np.empty(len(y))
    for kind in np.unique(kinds):
        rows = np.flatnonzero(kinds == kind)
        places[random.permutation(rows)] = (np.arange(len(rows)) + 0.5) / len(rows)
    return places


def is_stratified(distinct: NDArray[Any]) -> bool:
    """Return whether rows are divided evenly by their target, which has few distinct values."""
    return len(distinct) <= 50


def one(test: Mask) -> Split:
    """Return the split into the rows of a mask, and all others."""
    return Split(np.flatnonzero(~test), np.flatnonzero(test), np.empty(0, np.intp))


def is_timed(times: Times) -> bool:
    """Return whether the rows have several times."""
    return bool(len(times) and times.min() < times.max())


def repeated(groups: NDArray[Any] | None) -> bool:
    if groups is None or not len(groups):
        return False
    if np.issubdtype(groups.dtype, np.integer) and int(groups.max()) - int(groups.min()) < 4 * len(groups):
        return bool(np.bincount(groups - groups.min()).max() > 1)  # groups are mostly numbered: no sort
    return len(np.unique(groups)) < len(groups)


def smallest(rows: int, timed: bool) -> int:
    """Return the minimum number of rows on each side, for a table of so many rows. A fifth of 50 rows is enough."""
    return min(SMALLEST, max(8, rows // 5) if timed else max(2, rows // 12))


def checked(found: Split, what: str, timed: bool, rows: int) -> Split:
    """Return the split of so many rows. Raises `ModelError` if a side is too small."""
    least = smallest(rows, timed)
    if min(len(found.train), len(found.test)) < least or rows < SMALLEST:
        raise ModelError(
            "too few labelled rows to split",
            got=f"{len(found.train)} before, {len(found.gap)} in the gap, {len(found.test)} after ({what})"
            if timed
            else f"{len(found.train)} rows to learn from, {len(found.test)} to test on ({what})",
            expected=f"at least {least} on each side, of {SMALLEST} rows or more",
            hint="more examples, fewer folds, or a shorter gap"
            if timed
            else "more examples"
            if rows < SMALLEST
            else "groups= of which none has nearly all rows, or split=",
        )
    return found
