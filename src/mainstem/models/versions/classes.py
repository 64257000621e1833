"""Precision and recall of each class, and the pairs of classes that are confused most, from a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_CLASSES = 12
"""Classes beyond which the most confused pairs are shown in place of the matrix."""

MOST_PAIRS = 12

Matrix = Sequence[Sequence[int]]


@dataclass(frozen=True)
class OfClass:
    """Decisions for a class: `rows` are of it, `decided` were decided for it. Precision, recall and F1 are None where
    they are a share of no rows."""

    label: str
    rows: int
    decided: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Confused:
    """So many `rows` of the class `truth` were decided for another: `share` of its rows."""

    truth: str
    decided: str
    rows: int
    share: float


def by_class(classes: Sequence[str], matrix: Matrix) -> tuple[OfClass, ...]:
    """Return what each class has, of more than two, from the matrix of truth by decision."""
    if len(matrix) < 3:
        return ()
    found = []
    for number, label in enumerate(classes):
        hits, rows = matrix[number][number], sum(matrix[number])
        decided = sum(row[number] for row in matrix)
        found.append(
            OfClass(label, rows, decided, _share(hits, decided), _share(hits, rows), _share(2 * hits, rows + decided))
        )
    return tuple(found)


def confused(classes: Sequence[str], matrix: Matrix) -> tuple[Confused, ...]:
    """Return the pairs of classes that most rows are confused of, of more classes than a matrix shows."""
    if len(matrix) <= MOST_CLASSES:
        return ()
    pairs = [
        Confused(classes[truth], classes[decided], rows, rows / sum(row))
        for truth, row in enumerate(matrix)
        for decided, rows in enumerate(row)
        if rows and truth != decided
    ]
    return tuple(sorted(pairs, key=lambda each: -each.rows)[:MOST_PAIRS])


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
