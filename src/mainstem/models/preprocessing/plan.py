"""Which step each input has: what `prepare=` declares, and what the algorithm does with the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mainstem.models.data.rows import Examples
from mainstem.models.preprocessing.numbers import ALWAYS, KEEP
from mainstem.models.preprocessing.scales import WITHIN
from mainstem.nodes.prepare import Number, OneHot, Ordinal, Step


@dataclass(frozen=True)
class Usual:
    """What an algorithm does with the inputs that `prepare=` does not name. `finite`: it cannot have an infinite
    number, not even in one that stays as it is."""

    number: Number
    text: Step
    finite: bool = True


LINEAR = Usual(Number("median", "standard", True), OneHot())
"""Standardised numbers with the median for missing ones and an indicator; texts one-hot."""

TREES = Usual(Number(KEEP, "as-is", False), Ordinal(), finite=False)
"""Unchanged numbers, missing where they were in training; texts as codes."""

BY_NAME = Number(KEEP, WITHIN, False)
"""What a pipeline that prepares its inputs itself gets of a number."""

BAYES = Usual(Number(ALWAYS, "standard", False), OneHot())
"""Standardised numbers with NaN for missing ones; texts one-hot."""


def plan(examples: Examples, usual: Usual) -> tuple[tuple[Number, ...], tuple[Step, ...]]:
    """Return the step of each number and of each text, with nothing left open."""
    floats, strings = examples.rows.floats.shape[1], examples.rows.strings.shape[1]
    asked = examples.prepare or (None,) * (floats + strings)
    numbers = tuple(_number(each, usual) for each in asked[:floats])
    return numbers, tuple(each or usual.text for each in asked[floats:])


def _number(asked: Step | None, usual: Usual) -> Number:
    if not isinstance(asked, Number):
        return usual.number
    given = {name: value for name, value in vars(asked).items() if value is not None}
    found = replace(usual.number, **given)
    return replace(found, scale=WITHIN) if usual.finite and found.scale == "as-is" else found
