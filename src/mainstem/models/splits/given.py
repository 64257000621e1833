"""Splits that the user gives: a column that says where each row belongs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.models.splits.parts import Mask, Split

SPELLINGS: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
    "true": "test",
    "false": "train",
}
"""The parts by the texts that name them, in lower case."""

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

    `train`, `validation` and `test`, or truth values (true is the test), name parts, in any case and in the usual
    spellings. Whole numbers or other texts name folds. A row with null is in no part. Raises `ModelError` for other
    values, for texts that are almost the name of a part, and for the numbers 0 and 1, which may mean either.
    """
    column = np.array([_whole(value) for value in values], object)
    distinct = sorted({value for value in column if value is not None}, key=lambda value: (str(type(value)), value))
    parts = {value: part for value in distinct if (part := part_of(value)) is not None}
    if parts:
        unknown = [value for value in distinct if value not in parts]
        return _named(np.array([parts.get(value) for value in column], object), unknown)
    return _folds(column, distinct)


def _whole(value: Any) -> Any:
    """Return a whole number that came as a float or a decimal, as beside missing values; None for NaN."""
    if not isinstance(value, (float, Decimal)):
        return value
    if value != value:
        return None
    return int(value) if value % 1 == 0 else value


def part_of(value: Any) -> str | None:
    """Return the part that a value names; None for another value."""
    if isinstance(value, (bool, str)):
        return SPELLINGS.get(str(value).strip().lower())
    return None


def _named(column: NDArray[np.object_], unknown: Sequence[Any]) -> Given:
    if unknown:
        raise _refused(f"{unknown[0]!r} beside parts")
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
    if set(distinct) == {0, 1}:
        raise _refused(
            "the numbers 0 and 1, which are two folds or mark the test", "split=_.is_test == 1, or folds 1, 2"
        )
    alike = {near: value for value in reversed(distinct) if isinstance(value, str) and (near := _near(value))}
    if len(alike) > 1:  # one alone is a name of its own, such as "west"
        got = " and ".join(f"{value!r}, which is almost {near!r}" for near, value in sorted(alike.items()))
        raise _refused(got, "write the parts as expected; folds need names that are not like those of parts")
    number = {value: fold for fold, value in enumerate(distinct)}
    return Given(folds=np.array([-1 if value is None else number[value] for value in column]))


def _near(value: str) -> str | None:
    """Return which of `train` and `test` a text almost is, or begins with."""
    word = value.strip().lower()
    begins = [part for part in ("train", "test") if word.startswith(part)]
    found = begins or get_close_matches(word, ["train", "training", "test", "testing"], 1, cutoff=0.75)
    return SPELLINGS[found[0]] if found else None


def _refused(got: str, hint: str = "a row with null is in no part") -> ModelError:
    return ModelError(
        "`split` does not name parts of the examples",
        got=got,
        expected=f'"train" and "test" (and "validation"), true for the test, or 2 to {MOST_FOLDS} folds',
        hint=hint,
    )
