"""Which step each input has: what `prepare=` declares, and what the algorithm does with the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import NULL, Examples
from mainstem.models.preprocessing.indicators import USUAL_LEVELS
from mainstem.models.preprocessing.levels import fewest, frequent
from mainstem.models.preprocessing.numbers import ALWAYS, KEEP
from mainstem.models.preprocessing.scales import WITHIN
from mainstem.models.preprocessing.terms import words_in
from mainstem.nodes.prepare import Number, OneHot, Ordinal, Step, Target, Tfidf


@dataclass(frozen=True)
class Usual:
    """What an algorithm does with the inputs that `prepare=` does not name.

    `losing` is for a text of whose rows `text` would count more than `LOST` among the others, and `free` for a free
    text. `finite`: the algorithm cannot have an infinite number, not even in one that stays as it is.
    """

    number: Number
    text: Step
    losing: Step | None = None
    free: Step = Tfidf()  # noqa: RUF009 - frozen
    finite: bool = True


LOST = 0.2
"""The share of rows in rare levels from which linear models get the mean target of a text in place of indicators.

Two of ten public tables have such a text. For six targets of theirs, errors were between 0.1 % higher and 35 % lower
(`benchmarks/preparing.py`). Of a text that loses few rows, the mean target can be worse. Trees were better off with
codes for some targets.
"""

LINEAR = Usual(Number("median", "standard", True), OneHot(), losing=Target())
"""Standardised numbers with the median for missing ones and an indicator. Texts are one-hot, or the mean target if that
would lose too many rows."""

TREES = Usual(Number(KEEP, "as-is", False), Ordinal(), finite=False)
"""Unchanged numbers, missing where they were in training; texts as codes."""

BY_NAME = Number(KEEP, WITHIN, False)
"""What a pipeline that prepares its inputs itself gets of a number."""

BAYES = Usual(Number(ALWAYS, "standard", False), OneHot())
"""Standardised numbers with NaN for missing ones; texts one-hot."""


Plan = tuple[tuple[Number, ...], tuple[Step, ...]]
"""The step of each number, and of each text."""


def plan(examples: Examples, usual: Usual) -> Plan:
    """Return the step of each number and of each text, with nothing left open."""
    floats, strings = examples.rows.floats.shape[1], examples.rows.strings.shape[1]
    asked = examples.prepare or (None,) * (floats + strings)
    numbers = tuple(_number(each, usual) for each in asked[:floats])
    columns = examples.rows.strings.T
    return numbers, tuple(each or _text(column, usual) for each, column in zip(asked[floats:], columns, strict=True))


FREE = 0.5
"""The share of rows in rare levels from which a text of several words is a free text."""

SEVERAL = 3.0
"""The mean number of words of a free text."""

SAMPLE = 500
"""The rows whose words are counted."""


def _text(column: NDArray[Any], usual: Usual) -> Step:
    lost = frequent(column, USUAL_LEVELS, fewest(len(column))).counts[-1]
    if lost > FREE * len(column) and _words(column) >= SEVERAL:
        return usual.free
    return usual.losing if usual.losing is not None and lost > LOST * len(column) else usual.text


def _words(column: NDArray[Any]) -> float:
    known = column[column != NULL]
    return words_in(known[np.linspace(0, len(known) - 1, min(SAMPLE, len(known))).astype(int)].tolist())


def _number(asked: Step | None, usual: Usual) -> Number:
    if not isinstance(asked, Number):
        return usual.number
    given = {name: value for name, value in vars(asked).items() if value is not None}
    found = replace(usual.number, **given)
    return replace(found, scale=WITHIN) if usual.finite and found.scale == "as-is" else found
