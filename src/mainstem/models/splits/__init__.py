"""Splits follow the data: by time with a gap for late outcomes, by group if keys repeat, else stratified.

Pure functions over int64 microseconds. A cut is an instant, not a row, so rows of one instant stay together. A row is
in training if its time is before the cut minus the gap, and in the test if its time is at or after the cut.
"""

from mainstem.models.splits.splits import (
    SMALLEST,
    Split,
    by_group,
    by_time,
    cut_of,
    folds,
    latest,
    parted,
    split,
    stratified,
)

__all__ = ["SMALLEST", "Split", "by_group", "by_time", "cut_of", "folds", "latest", "parted", "split", "stratified"]
