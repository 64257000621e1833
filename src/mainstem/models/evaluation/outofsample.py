"""Rows that a version is measured on, with scores of artifacts that have not seen them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.artifact.scorer import run
from mainstem.models.data.rows import Examples, Rows, Scores


@dataclass(frozen=True, eq=False)
class OutOfSample:
    """`examples` with the `scores` of the measured artifacts and of the `naive` baseline, in order.

    `owner` [n] numbers the session that may score a row: it has not learned from it.
    """

    examples: Examples
    scores: Scores
    naive: Scores
    owner: NDArray[np.intp]
    sessions: Sequence[Any]

    def sample(self, rows: int) -> NDArray[np.intp]:
        """Return the numbers of at most so many rows, drawn with the seed of the model, in order."""
        return self.examples.some(rows, self.examples.seed)

    def take(self, at: NDArray[np.intp]) -> OutOfSample:
        """Return some of the rows."""
        return OutOfSample(self.examples.take(at), self.scores[at], self.naive[at], self.owner[at], self.sessions)

    def rescored(self, changed: Rows, at: NDArray[np.intp]) -> Scores:
        """Return the scores of changed copies of the rows `at`, each by the session of its original."""
        owner = self.owner[at]
        found = np.empty((len(at), *self.scores.shape[1:]))
        for number in np.unique(owner):
            some = np.flatnonzero(owner == number)
            found[some] = run(self.sessions[number], changed.take(some))
        return found


def with_column(rows: Rows, number: int, values: Any) -> Rows:
    """Return a copy with other values of one input. Inputs are numbered: floats, then strings."""
    width = rows.floats.shape[1]
    if number < width:
        floats = rows.floats.copy()
        floats[:, number] = values
        return Rows(floats, rows.strings)
    strings = rows.strings.copy()
    strings[:, number - width] = values
    return Rows(rows.floats, strings)


def column(rows: Rows, number: int) -> NDArray[Any]:
    """Return the values of one input."""
    width = rows.floats.shape[1]
    return rows.floats[:, number] if number < width else rows.strings[:, number - width]
