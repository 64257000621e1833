"""Early stopping: which rows tell when a fit should stop, and whether they are enough to tell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mainstem.models import splits
from mainstem.models.data.rows import Examples
from mainstem.nodes.models import CLASSES

FEWEST_WATCHED = 30
"""Rows below which early stopping stops by chance."""

FEWEST_OTHERS = 5
"""Watched rows beside those of the most frequent class, or of counts above 0, or queries with a grade above 0: with
fewer, the fit stops by chance."""

ABSENT = 0.05
"""The largest share of the rows whose classes the watched ones may lack."""


def watching(examples: Examples, share: float, fewest: int = FEWEST_WATCHED) -> tuple[Examples, Examples] | None:
    """Return the rows to learn from and the latest `share` to watch; None if these are too few to tell when to stop.

    They are too few if they are fewer than `fewest`, or nearly all of one class, or if they lack classes that many rows
    have; or if nearly all of their counts or grades are 0. Copies of a row count once.
    """
    if len(_once(examples)) * share < fewest:
        return None
    early, late = latest_part(examples, share)
    if not (_count(early) and _count(late)):
        return None
    return (early, late) if len(np.unique(early.y)) > 1 and _tells(early, late) else None


def latest_part(examples: Examples, share: float) -> tuple[Examples, Examples]:
    """Return all rows but the latest `share`, and the latest. If all have one time, the share is of whole groups, or
    stratified. Copies of a row stay together."""
    if examples.times.min() < examples.times.max():
        found = splits.watched(examples.times, share, examples.gap, examples.known)
    elif splits.repeated(examples.groups):
        found = splits.by_group(examples.groups, share, examples.seed)
    else:
        found = splits.stratified(examples.y, share, examples.seed)
    return examples.take(found.train).evened(), examples.take(found.test).evened()


def _count(examples: Examples) -> bool:
    """Return whether any row counts: weights that halve in a short time are 0 for all but the latest rows."""
    return examples.weights is None or bool(examples.weights.any())


def _tells(early: Examples, late: Examples) -> bool:
    if early.task in CLASSES:
        return _tells_classes(early, late)
    above = late.y > 0
    if late.queries is not None:
        return len(np.unique(late.queries[above])) >= FEWEST_OTHERS
    return early.task != "count" or int(above.sum()) >= FEWEST_OTHERS


def _tells_classes(early: Examples, late: Examples) -> bool:
    size = int(early.y.max()) + 1
    learned, watched = (np.bincount(each, minlength=size)[:size] for each in (early.y, late.y[_once(late)]))
    watched = np.where(learned > 0, watched, 0)
    beside = watched.sum() - watched.max()
    return bool(beside >= FEWEST_OTHERS and learned[watched == 0].sum() <= ABSENT * learned.sum())


def _once(examples: Examples) -> NDArray[np.intp]:
    """Return the numbers of the rows, of copies of a row one."""
    if examples.copied is None:
        return np.arange(len(examples))
    return np.asarray(np.unique(examples.copied, return_index=True)[1])
