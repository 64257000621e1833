"""All inputs together: fit the plan of an algorithm on its training rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import NULL, Examples, Matrix, Strings
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing.base import Fitted
from mainstem.models.preprocessing.indicators import Indicators
from mainstem.models.preprocessing.levels import fewest
from mainstem.models.preprocessing.means import Means
from mainstem.models.preprocessing.numbers import Numbers
from mainstem.models.preprocessing.ordinal import Ordinal
from mainstem.models.preprocessing.plan import Plan, Usual, plan
from mainstem.models.preprocessing.words import Words
from mainstem.nodes import prepare


@dataclass(frozen=True, eq=False)
class Composed:
    """Parts side by side. Inputs with an equal step are one part. `left` says why an input has no column."""

    parts: tuple[Fitted, ...]
    left: dict[int, str]

    @property
    def origins(self) -> tuple[int, ...]:
        return tuple(origin for part in self.parts for origin in part.origins)

    @property
    def rising(self) -> tuple[int, ...]:
        return tuple(origin for part in self.parts for origin in part.rising)

    def transform(self, floats: Matrix, strings: Strings) -> Matrix:
        return _beside([part.transform(floats, strings) for part in self.parts], len(floats))

    def onnx(self, builder: Builder, floats: str, strings: str) -> str:
        return builder.concat([part.onnx(builder, floats, strings) for part in self.parts])

    def told(self) -> dict[int, str]:
        return {number: words for part in self.parts for number, words in part.told().items()}


def fit(examples: Examples, usual: Usual) -> tuple[Composed, Matrix]:
    """Fit the steps of all inputs on training rows. Return them, and the matrix to learn from.

    The matrix is not `transform` of these rows: a statistic of the target is out of fold there.
    """
    still, steps = _constants(examples), plan(examples, usual)
    found = list(_parts(examples, steps, still))
    if not found and still:  # a model of constants is the naive one, but it is a model
        still, found = {}, list(_parts(examples, steps, {}))
    parts = tuple(part for part, _ in found)
    left = still | _rare(examples, steps, {origin for part in parts for origin in part.origins} | set(still))
    return Composed(parts, left), _beside([matrix for _, matrix in found], len(examples))


def _rare(examples: Examples, steps: Plan, known: set[int]) -> dict[int, str]:
    """Return why texts have no column."""
    found = {}
    for number, step in enumerate(steps[1], examples.rows.floats.shape[1]):
        if number not in known:
            needed = getattr(step, "rare", None) or fewest(len(examples))
            what = "term" if isinstance(step, prepare.Tfidf | prepare.HashedWords) else "level"
            found[number] = f"left out: rare everywhere, no {what} has {needed:,} of {len(examples):,} rows"
    return found


def _widths(examples: Examples) -> tuple[int, int]:
    return examples.rows.floats.shape[1], examples.rows.strings.shape[1]


def _parts(examples: Examples, steps: Plan, still: dict[int, str]) -> Iterator[tuple[Fitted, Matrix]]:
    """Yield the fitted parts that have columns, each with those of the training rows."""
    rows, (floats, _) = examples.rows, _widths(examples)
    numbers, texts = steps
    for number, columns in _alike(numbers, [j for j in range(len(numbers)) if j not in still]):
        part = Numbers.fit(rows.floats, number, columns)
        yield part, part.transform(rows.floats)
    for text, columns in _alike(texts, [j for j in range(len(texts)) if floats + j not in still]):
        if isinstance(text, prepare.Target):
            means, matrix = Means.fit(examples, columns, text)
            found: tuple[Fitted, Matrix] = means, matrix
        elif isinstance(text, prepare.Tfidf):
            found = Words.tfidf(examples, columns, text)
        else:
            fitted = _text(examples, columns, text)
            found = fitted, fitted.transform(rows.floats, rows.strings)
        if found[0].origins:
            yield found


def _text(examples: Examples, columns: Sequence[int], step: prepare.Step) -> Fitted:
    strings, offset = examples.rows.strings, examples.rows.floats.shape[1]
    if isinstance(step, prepare.Hashed):
        return Indicators.hashing(strings, offset, columns, step)
    if isinstance(step, prepare.HashedWords):
        return Words.hashing(strings, offset, columns, step)
    if isinstance(step, prepare.OneHot):
        return Indicators.one_hot(strings, offset, columns, step)
    assert isinstance(step, prepare.Ordinal)
    return Ordinal.fit(strings, examples.targets, offset, columns, step)


def _alike(steps: Sequence[Any], columns: Sequence[int]) -> list[tuple[Any, list[int]]]:
    """Return each different step with its columns, in the order in which steps first occur."""
    found: dict[Any, list[int]] = {}
    for j in columns:
        found.setdefault(steps[j], []).append(j)
    return list(found.items())


def _constants(examples: Examples) -> dict[int, str]:
    """Return why inputs say nothing in these rows: they have one value, or none. A value that training did not have
    would have an effect that no row has taught."""
    found = {}
    for j, column in enumerate(examples.rows.floats.T):
        missing = np.isnan(column)
        if missing.all():
            found[j] = "left out: missing in all training rows"
        elif not missing.any() and (column == column[0]).all():
            found[j] = f"left out: {column[0]:g} in all training rows"
    for j, texts in enumerate(examples.rows.strings.T, examples.rows.floats.shape[1]):
        if len(texts) and _same(texts):
            found[j] = f"left out: {'missing' if texts[0] == NULL else _short(texts[0])} in all training rows"
    return found


def _same(texts: NDArray[Any]) -> bool:
    return bool((texts == texts[0]).all())


def _short(text: str) -> str:
    return repr(text if len(text) <= 30 else text[:30] + "…")


def _beside(matrices: Sequence[Matrix], rows: int) -> Matrix:
    found = np.hstack(matrices) if matrices else np.empty((rows, 0))
    return np.ascontiguousarray(found, np.float32)
