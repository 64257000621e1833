"""Splits follow the data: by time with a gap for late outcomes, by group, both, else stratified; or as the user says.

Pure functions over int64 microseconds. A cut is an instant, not a row, so rows of one instant stay together. A row is
in training if its time is before the cut minus the gap, and in the test if its time is at or after the cut.
"""

from mainstem.models.splits.folding import folds
from mainstem.models.splits.given import SPELLINGS, Given, given
from mainstem.models.splits.holdout import cut_of, split, watched
from mainstem.models.splits.parts import (
    FOLD,
    SMALLEST,
    UNDRAWN,
    Mask,
    Split,
    by_group,
    by_time,
    is_stratified,
    is_timed,
    repeated,
    stratified,
)
from mainstem.models.splits.sampling import latest

__all__ = [
    "FOLD",
    "SMALLEST",
    "SPELLINGS",
    "UNDRAWN",
    "Given",
    "Mask",
    "Split",
    "by_group",
    "by_time",
    "cut_of",
    "folds",
    "given",
    "is_stratified",
    "is_timed",
    "latest",
    "repeated",
    "split",
    "stratified",
    "watched",
]
