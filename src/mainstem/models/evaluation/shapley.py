"""Shapley values of one prediction, by sampling over any scorer (Štrumbelj and Kononenko 2014).

The value of a set of inputs is the mean score of background rows in which these inputs are replaced by those of the
explained row. One walk goes from a background row to the explained one, an input at a time in random order; the change
of the score belongs to the input. Each background row is walked in an order and in its reverse, which halves the
variance for effects of two inputs. The contributions of a walk add up to the difference of its ends, so that base +
contributions is the score whatever was drawn.

TreeSHAP would be exact for trees, but explains the raw score of one ensemble by the columns of its matrix. This
explains what is served, in the unit of the score, by inputs: a calibrated, stacked or linear model alike, from the ONNX
file alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import Rows, Scores

BACKGROUND, FEWEST, SCORED = 100, 10, 40_000
"""The most and the fewest background rows. Between them, about so many rows are scored to explain one."""

CELLS = 2_000_000
"""The most cells that are scored at once."""

Order = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Shapley:
    """`base` [] or [K], `effects` and their standard `errors` [inputs] or [inputs, K]. Inputs: floats, then strings."""

    base: Scores
    effects: Scores
    errors: Scores


def background_rows(inputs: int) -> int:
    """Return how many background rows a model of so many inputs is explained beside."""
    return min(BACKGROUND, max(FEWEST, SCORED // (2 * (inputs + 1))))


def shapley(score: Callable[[Rows], Scores], row: Rows, background: Rows, seed: int = 0) -> Shapley:
    """Return the contributions of the inputs of one row, beside every background row."""
    random = np.random.default_rng(seed)
    inputs = row.width
    walks = []
    for number in range(len(background)):
        order = random.permutation(inputs)
        other = background.take(np.array([number]))
        walks.append([(other, order), (other, order[::-1])])
    scores = _walked(score, row, [walk for pair in walks for walk in pair])
    changes = np.diff(scores, axis=1)
    effects = np.empty_like(changes)
    for place, (_, order) in enumerate(walk for pair in walks for walk in pair):
        effects[place, order] = changes[place]
    pairs = (effects[::2] + effects[1::2]) / 2
    errors = pairs.std(0, ddof=1) / np.sqrt(len(pairs)) if len(pairs) > 1 else np.full(pairs.shape[1:], np.nan)
    return Shapley(scores[:, 0].mean(0), pairs.mean(0), errors)


def _walked(score: Callable[[Rows], Scores], row: Rows, walks: list[tuple[Rows, Order]]) -> Scores:
    """Return the scores on each walk [walks, inputs + 1] or [walks, inputs + 1, K]."""
    steps = row.width + 1
    together = max(1, CELLS // (steps * steps))
    found = []
    for begin in range(0, len(walks), together):
        some = [_walk(row, other, order) for other, order in walks[begin : begin + together]]
        scores = score(Rows(np.vstack([r.floats for r in some]), np.vstack([r.strings for r in some])))
        found.append(scores.reshape(len(some), steps, *scores.shape[1:]))
    return np.concatenate(found)


def _walk(row: Rows, other: Rows, order: Order) -> Rows:
    """Return the rows of a walk: after k steps the first k inputs of the order are those of `row`."""
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    taken = rank[None, :] < np.arange(len(order) + 1)[:, None]
    width = row.floats.shape[1]
    return Rows(
        np.where(taken[:, :width], row.floats, other.floats).astype(np.float32),
        np.where(taken[:, width:], row.strings, other.strings).astype(object),
    )
