"""One split: by time, by group, stratified, or with groups kept apart. Pure functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass
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
"""The minimum number of rows on each side of a split; of small tables without time, less."""


@dataclass(frozen=True, eq=False)
class Split:
    """Ascending row numbers of the two sides. `gap` rows are on neither side. `cut` is None unless split by time."""

    train: Rows
    test: Rows
    gap: Rows
    cut: int | None = None


def by_time(times: Times, cut: int, gap: int) -> Split:
    """Split into rows before `cut − gap` and rows from `cut` on."""
    train, test = times < cut - gap, times >= cut
    return Split(np.flatnonzero(train), np.flatnonzero(test), np.flatnonzero(~train & ~test), cut)


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
    kinds = np.where(counts[of_row] < RARE, 0, of_row + 1) if len(distinct) <= 50 else np.zeros(len(y), int)
    places = np.empty(len(y))
    for kind in np.unique(kinds):
        rows = np.flatnonzero(kinds == kind)
        places[random.permutation(rows)] = (np.arange(len(rows)) + 0.5) / len(rows)
    return places


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


def checked(found: Split, what: str, timed: bool) -> Split:
    """Return the split. Raises `ModelError` if a side is too small."""
    rows = len(found.train) + len(found.gap) + len(found.test)
    smallest = SMALLEST if timed else min(SMALLEST, max(2, rows // 12))
    if min(len(found.train), len(found.test)) < smallest or rows < SMALLEST:
        raise ModelError(
            "too few labelled rows to split",
            got=f"{len(found.train)} before, {len(found.gap)} in the gap, {len(found.test)} after ({what})",
            expected=f"at least {smallest} on each side" if timed else f"at least {SMALLEST} rows",
            hint="more examples, fewer folds, or a shorter gap" if timed else "more examples, or fewer folds",
        )
    return found
