"""Split off the rows that a version is measured on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.models.splits.parts import Split, Times, apart, by_group, by_time, checked, is_timed, repeated, stratified
from mainstem.nodes.durations import microseconds
from mainstem.nodes.models import USUAL_TEST


def split(
    times: Times, y: NDArray[Any], *, test: float | str, gap: str, seed: int = 0, groups: NDArray[Any] | None = None
) -> Split:
    """Split off the latest `test` (a share of the rows, or a duration such as `60d`), with `gap` before it.

    Rows of one of the `groups` stay on one side. If all rows have one time, the test is a share of the groups if any
    group has several rows, else a stratified share of the rows. Raises `ModelError` if a side is too small.
    """
    found = parted(times, y, test=test, gap=gap, seed=seed, groups=groups)
    return checked(found, f"test={test!r}, gap={gap!r}", is_timed(times))


def parted(
    times: Times, y: NDArray[Any], *, test: float | str, gap: str, seed: int = 0, groups: NDArray[Any] | None = None
) -> Split:
    """Return the same split without a minimum size."""
    share = test if isinstance(test, float) else USUAL_TEST
    if is_timed(times):
        found = by_time(times, cut_of(times, test), microseconds(gap))
        return _grouped(found, groups, seed) if groups is not None and repeated(groups) else found
    return by_group(groups, share, seed) if repeated(groups) else stratified(y, share, seed)


def _grouped(found: Split, groups: NDArray[Any], seed: int) -> Split:
    """Return the split by time without a group in common. The rows that this leaves out are in the gap."""
    sides = [np.isin(np.arange(len(groups)), rows) for rows in (found.train, found.test)]
    train, test = apart(sides[0], sides[1], groups, seed)
    return Split(np.flatnonzero(train), np.flatnonzero(test), np.flatnonzero(~train & ~test), found.cut)


def cut_of(times: Times, test: float | str) -> int:
    """Return the instant at which the test begins: for a share of the rows, or for a duration up to the last row."""
    if isinstance(test, str):
        return int(times.max()) - microseconds(test)
    if not 0 < test < 1:
        raise ModelError("`test` must be a share between 0 and 1", got=str(test), hint="test=0.2, or test='60d'")
    ordered = np.sort(times)
    return int(ordered[min(len(ordered) - 1, int(np.ceil(len(ordered) * (1 - test))))])
