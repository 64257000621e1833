"""Which rows a version is measured on: held-out ones, or all of them by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.models import splits
from mainstem.models.splits import FOLD, Mask, Split
from mainstem.nodes.models import USUAL_TEST, Model

SMALL = 1_000
"""Tables without time and with fewer labelled rows are measured by cross-validation: a test of 200 rows says little."""

FEW_GROUPS = 50
AFFORDABLE = 20_000
"""Tables with few groups are cross-validated too, up to this number of rows: each fold compares all candidates."""

CROSSED = 5


@dataclass(frozen=True, eq=False)
class Parts:
    """Row numbers among the labelled rows: a `holdout`, or the `folds` of a cross-validation. `kind` says how rows were
    divided. `groups` [n], `validation` [n] and `known` [n] are those of the splits inside,
    `units` [n] what intervals resample, if not the groups."""

    kind: str
    holdout: Split | None = None
    folds: tuple[Split, ...] = ()
    groups: NDArray[np.int64] | None = None
    validation: Mask | None = None
    given: bool = False
    known: NDArray[np.int64] | None = None
    units: NDArray[np.int64] | None = None

    @property
    def left(self) -> NDArray[np.intp]:
        """The rows that are on neither side of any split."""
        return (self.holdout or self.folds[0]).gap

    @property
    def tested(self) -> NDArray[np.intp]:
        """The rows that the version is measured on, in order."""
        if self.holdout is not None:
            return self.holdout.test
        return np.sort(np.concatenate([fold.test for fold in self.folds]))

    @property
    def cut(self) -> int | None:
        """The instant from which rows are held out; None without a split by time."""
        return self.holdout.cut if self.holdout is not None else None

    def named(self, rows: int, known: NDArray[np.intp]) -> NDArray[np.object_]:
        """Return the part of each of `rows` rows, of which those in `known` are labelled."""
        named = np.full(rows, "unlabelled", object)
        if self.holdout is None:
            named[known] = "gap"
            for number, fold in enumerate(self.folds, 1):
                named[known[fold.test]] = f"{FOLD}{number}"
            return named
        for kind in ("train", "older", "gap", "test"):
            named[known[getattr(self.holdout, kind)]] = kind
        return named


def parts_of(
    model: Model,
    times: NDArray[np.int64],
    y: NDArray[Any],
    *,
    groups: NDArray[np.int64] | None,
    given: Sequence[Any] | None,
    enough: bool,
    known: NDArray[np.int64] | None = None,
) -> Parts:
    """Return the parts of labelled rows, whose labels were `known` at a time, if the rows tell. If `enough`, raises
    `ModelError` if a part has too few rows."""
    if given is not None:
        return replace(_given(splits.given(given), groups, declared=model.groups is not None), known=known)
    kind = _kind(times, y, groups, declared=model.groups is not None)
    if model.test is None and not splits.is_timed(times) and _small(y, groups):
        return _crossed(kind, times, y, model, groups, enough=enough)
    test = USUAL_TEST if model.test is None else model.test
    found = splits.split(
        times,
        y,
        test=test,
        gap=model.gap,
        seed=model.seed,
        groups=groups,
        window=model.window,
        known=known,
        enough=enough,
    )
    return Parts(kind, found, groups=groups, known=known)


def _crossed(
    kind: str,
    times: NDArray[np.int64],
    y: NDArray[Any],
    model: Model,
    groups: NDArray[np.int64] | None,
    *,
    enough: bool,
) -> Parts:
    try:
        found = splits.folds(times, y, count=CROSSED, gap="0s", seed=model.seed, groups=groups)
    except ModelError:
        if enough:
            raise
        few = splits.split(times, y, test=USUAL_TEST, gap="0s", seed=model.seed, groups=groups, enough=False)
        return Parts(kind, few, groups=groups)
    return Parts(kind, folds=tuple(found), groups=groups)


def _small(y: NDArray[Any], groups: NDArray[np.int64] | None) -> bool:
    few = groups is not None and splits.repeated(groups) and len(np.unique(groups)) < FEW_GROUPS
    return len(y) < SMALL or (few and len(y) < AFFORDABLE)


def _kind(times: NDArray[np.int64], y: NDArray[Any], groups: NDArray[np.int64] | None, *, declared: bool) -> str:
    grouped = "by `groups`" if declared else "by key"
    if splits.is_timed(times):
        return f"by time and {grouped}" if splits.repeated(groups) else "by time"
    if splits.repeated(groups):
        return grouped
    return "at random, stratified" if splits.is_stratified(np.unique(y)) else "at random"


def _given(found: splits.Given, groups: NDArray[np.int64] | None, *, declared: bool) -> Parts:
    if found.split is not None:
        return Parts("as `split` says", found.split, groups=groups, validation=found.validation, given=True)
    numbers = range(int(found.folds.max()) + 1)
    inside = found.folds >= 0
    folds = [
        Split(np.flatnonzero(inside & (found.folds != n)), np.flatnonzero(found.folds == n), np.flatnonzero(~inside))
        for n in numbers
    ]
    # The user's folds are the groups of the splits inside: what is kept apart outside stays apart inside.
    inside_groups = found.folds.astype(np.int64)
    units = groups if declared else None
    return Parts("as `split` says", folds=tuple(folds), groups=inside_groups, given=True, units=units)
