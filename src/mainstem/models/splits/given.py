"""Splits that the user gives: a column that says where each row belongs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mainstem.errors import ModelError
from mainstem.models.splits.parts import Mask, Split

PARTS = ("train", "validation", "test")
MOST_FOLDS = 20


@dataclass(frozen=True, eq=False)
class Given:
    """Either one `split`, perhaps with rows of the training for `validation`; or `folds` with the number of each row's
    fold [n], −1 for rows without one."""

    split: Split | None = None
    validation: Mask | None = None
    folds: Any = None


def given(values: Sequence[Any]) -> Given:
    """Return the split of a column's values.

    `train`, `validation` and `test`, or truth values (true is the test), name parts. Whole numbers or other texts name
    folds. A row with null is in no part. Raises `ModelError` for other values.
    """
    column = np.array(list(values), object)
    distinct = {value for value in column if value is not None}
    if distinct <= {True, False} and all(isinstance(value, bool) for value in distinct):
        column = np.array([None if v is None else "test" if v else "train" for v in column], object)
        return _named(column)
    texts = {str(value) for value in distinct}
    if texts & set(PARTS):
        return _named(column, texts - set(PARTS))
    return _folds(column, sorted(distinct, key=lambda value: (str(type(value)), value)))


def _named(column: Any, unknown: set[str] | None = None) -> Given:
    if unknown:
        raise _refused(f"{sorted(unknown)[0]!r} beside parts")
    train, test = np.isin(column, ["train", "validation"]), column == "test"
    if not train.any() or not test.any():
        raise _refused("no row of the training" if not train.any() else "no row of the test")
    validation = column == "validation"
    if validation.any() and validation.sum() == train.sum():
        raise _refused("no row of the training")
    left = np.flatnonzero(~train & ~test)
    found = Split(np.flatnonzero(train), np.flatnonzero(test), left)
    return Given(found, validation if validation.any() else None)


def _folds(column: Any, distinct: Sequence[Any]) -> Given:
    whole = all(isinstance(value, (int, str)) for value in distinct)
    if not whole or not 2 <= len(distinct) <= MOST_FOLDS:
        raise _refused(f"{len(distinct)} distinct values" if whole else repr(distinct[0]))
    number = {value: fold for fold, value in enumerate(distinct)}
    return Given(folds=np.array([-1 if value is None else number[value] for value in column]))


def _refused(got: str) -> ModelError:
    return ModelError(
        "`split` does not name parts of the examples",
        got=got,
        expected=f'"train" and "test" (and "validation"), true for the test, or 2 to {MOST_FOLDS} folds',
        hint="a row with null is in no part",
    )
