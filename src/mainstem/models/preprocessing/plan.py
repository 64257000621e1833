"""Which step each input has: what `prepare=` declares, and what the algorithm does with the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mainstem.models.data.rows import Examples
from mainstem.models.preprocessing.numbers import ALWAYS, KEEP
from mainstem.nodes.prepare import Number, OneHot, Ordinal, Step


@dataclass(frozen=True)
class Usual:
    """What an algorithm does with the inputs that `prepare=` does not name."""

    number: Number
    text: Step


LINEAR = Usual(Number("median", "standard", True), OneHot())
"""Standardised numbers with the median for missing ones and an indicator; texts one-hot."""

TREES = Usual(Number(KEEP, "as-is", False), Ordinal())
"""Unchanged numbers, missing where they were in training; texts as codes."""

BAYES = Usual(Number(ALWAYS, "standard", False), OneHot())
"""Standardised numbers with NaN for missing ones; texts one-hot."""


def plan(examples: Examples, usual: Usual) -> tuple[tuple[Number, ...], tuple[Step, ...]]:
    """Return the step of each number and of each text, with nothing left open."""
    floats, strings = examples.rows.floats.shape[1], examples.rows.strings.shape[1]
    asked = examples.prepare or (None,) * (floats + strings)
    numbers = tuple(_number(each, usual.number) for each in asked[:floats])
    return numbers, tuple(each or usual.text for each in asked[floats:])


def _number(asked: Step | None, usual: Number) -> Number:
    if not isinstance(asked, Number):
        return usual
    given = {name: value for name, value in vars(asked).items() if value is not None}
    return replace(usual, **given)
