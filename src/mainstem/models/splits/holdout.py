"""Split off the rows that a version is measured on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.models.splits.parts import (
    Split,
    Times,
    by_group,
    by_time,
    checked,
    is_timed,
    repeated,
    stratified,
    with_groups_apart,
)
from mainstem.nodes.durations import microseconds
from mainstem.nodes.models import USUAL_TEST


def split(
    times: Times,
    y: NDArray[Any],
    *,
    test: float | str,
    gap: str,
    seed: int = 0,
    groups: NDArray[Any] | None = None,
    window: str | None = None,
    known: Times | None = None,
    enough: bool = True,
) -> Split:
    """Split off the latest `test` (a share of the rows, or a duration such as `60d`), with `gap` before it.

    The training is all rows before the gap whose label was `known` when the test begins; with a `window`, that much.
    Rows of one of the `groups` stay on one side. If all rows have one time, the test is a share of the groups if any
    group has several rows, else a stratified share of the rows. If `enough`, raises `ModelError` if a side is too
    small.
    """
    if is_timed(times):
        back = microseconds(window) if window else None
        found = by_time(times, cut_of(times, test), microseconds(gap), window=back, known=known)
        found = with_groups_apart(found, groups, seed) if repeated(groups) else found
    else:
        share = test if isinstance(test, float) else USUAL_TEST
        found = by_group(groups, share, seed) if repeated(groups) else stratified(y, share, seed)
    return checked(found, f"test={test!r}, gap={gap!r}", is_timed(times), len(times)) if enough else found


def watched(times: Times, share: float, gap: int, known: Times | None = None) -> Split:
    """Split off the latest share inside a fit, with the gap (µs) of labels that take time before it.

    If so little is left that the fit would be another one, the gap is left out: a fit of half the rows finds its
    settings on too few.
    """
    cut = cut_of(times, share)
    found, whole = by_time(times, cut, gap, known=known), by_time(times, cut, 0)
    return found if 2 * len(found.train) >= len(whole.train) else whole


def cut_of(times: Times, test: float | str) -> int:
    """Return the instant at which the test begins: for a share of the rows, or for a duration up to the last row."""
    if isinstance(test, str):
        return int(times.max()) - microseconds(test)
    if not 0 < test < 1:
        raise ModelError("`test` must be a share between 0 and 1", got=str(test), hint="test=0.2, or test='60d'")
    ordered = np.sort(times)
    return int(ordered[min(len(ordered) - 1, int(np.ceil(len(ordered) * (1 - test))))])
