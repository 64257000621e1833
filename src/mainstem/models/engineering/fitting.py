"""Made features and a selection before an algorithm: its fit, its estimator and its graph contain both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms import sampled
from mainstem.models.algorithms.base import Algorithm, Estimator, Settings, work
from mainstem.models.data.rows import Examples, Rows
from mainstem.models.engineering.base import Made, aside, free, is_part
from mainstem.models.engineering.calendar import Circles, OfHolidays
from mainstem.models.engineering.groups import OfGroups
from mainstem.models.engineering.pairs import Pairs
from mainstem.models.engineering.reduced import Components
from mainstem.models.engineering.selecting import left_out
from mainstem.models.graphs.builder import Builder
from mainstem.nodes.engineering import (
    Cyclic,
    Engineer,
    GroupStatistics,
    Holidays,
    Interactions,
    Ratios,
    Reduction,
    Selection,
)

FITS: Mapping[type, Any] = {
    Ratios: Pairs.fit,
    Interactions: Pairs.fit,
    GroupStatistics: OfGroups.fit,
    Cyclic: Circles.fit,
    Holidays: OfHolidays.fit,
    Reduction: Components.fit,
}


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a fit made of `width` numbers and the texts: `made` features, and `kept` of numbers and texts after that.

    `left` says why inputs are left out, by number before the selection: floats, made ones, strings.
    """

    width: int
    made: tuple[Made, ...]
    floats: NDArray[np.int64]
    strings: NDArray[np.int64]
    left: Mapping[int, str]

    @classmethod
    def fit(cls, examples: Examples) -> tuple[Inputs, Examples]:
        """Return what is made and kept, and the examples with it."""
        width, texts = examples.rows.floats.shape[1], examples.rows.strings.shape[1]
        fits = [FITS[type(each)](examples, each) for each in examples.engineer]
        made = tuple(each for each in fits if each.names)
        created = sum(len(each.names) for each in made)
        left = dict.fromkeys(aside(examples), "left out: only holidays read it")
        numbers = [n for n in range(width + created) if n not in left]
        whole = cls(width, made, np.array(numbers, np.int64), np.arange(texts), left)
        more = whole._examples(examples)
        if examples.select is None:
            return whole, more
        order = [*numbers, *range(width + created, width + created + texts)]
        left = {**left, **{order[n]: why for n, why in left_out(more, examples.select, created).items()}}
        kept = np.array([n for n in order if n not in left], np.int64)
        inside = kept < width + created
        found = cls(width, made, kept[inside], kept[~inside] - width - created, left)
        return found, found._examples(examples)

    def rows(self, rows: Rows) -> Rows:
        made = [each.transform(rows) for each in self.made]
        floats = np.hstack([rows.floats, *made])[:, self.floats]
        return Rows(np.ascontiguousarray(floats, np.float32), rows.strings[:, self.strings])

    def onnx(self, builder: Builder) -> tuple[str, str]:
        """Add the same to a graph. Return the names of both blocks."""
        floats, strings = builder.floats, builder.strings
        parts = [floats] if self.width else []
        parts += [each.onnx(builder, floats, strings) for each in self.made]
        if parts and len(self.floats):
            floats = builder.add("Gather", builder.concat(parts), builder.constant(self.floats), axis=1)
        if len(self.strings):
            strings = builder.add("Gather", strings, builder.constant(self.strings), axis=1)
        return floats, strings

    @property
    def origins(self) -> list[tuple[int, ...]]:
        """The inputs of the model that each input of the algorithm is made of."""
        made = [(j,) for j in range(self.width)] + [origin for each in self.made for origin in each.origins]
        return [made[j] for j in self.floats] + [(self.width + j,) for j in self.strings.tolist()]

    @property
    def names(self) -> list[tuple[str, str]]:
        """The name of each made feature, and how it was made."""
        return [pair for each in self.made for pair in zip(each.names, each.told, strict=True)]

    def _examples(self, examples: Examples) -> Examples:
        created = len(self.names)
        texts = examples.rows.strings.shape[1]
        order = [*self.floats.tolist(), *(self.width + created + j for j in self.strings.tolist())]

        def arranged(values: Sequence[Any], new: Sequence[Any]) -> tuple[Any, ...]:
            every = [*values[: self.width], *new, *values[self.width :]]
            return tuple(every[n] for n in order)

        names = examples.names or tuple(f"input {n}" for n in range(self.width + texts))
        return replace(
            examples,
            rows=self.rows(examples.rows),
            beyond=None if examples.beyond is None else examples.beyond.through(self.rows),
            names=arranged(names, [name for name, _ in self.names]),
            monotone=arranged(examples.monotone, [0] * created) if examples.monotone else (),
            prepare=arranged(examples.prepare, [None] * created) if examples.prepare else (),
            engineer=(),
            select=None,
        )


@dataclass(frozen=True, eq=False)
class EngineeredScore:
    """A fitted estimator of what `inputs` makes and keeps."""

    inputs: Inputs
    of: Estimator

    @property
    def settings(self) -> Settings:
        return self.of.settings

    @property
    def conversions(self) -> tuple[EngineeredScore, ...]:
        """The conversions to try, as the estimator has them."""
        return tuple(EngineeredScore(self.inputs, each) for each in getattr(self.of, "conversions", (self.of,)))

    def scores(self, rows: Rows) -> NDArray[np.float64]:
        return self.of.scores(self.inputs.rows(rows))

    def onnx(self, builder: Builder) -> str:
        with builder.renamed(*self.inputs.onnx(builder)):
            return self.of.onnx(builder)

    def importances(self, inputs: int) -> NDArray[np.float64]:
        """A made feature's importance is that of its inputs, in equal parts."""
        found = np.zeros(inputs)
        origins = self.inputs.origins
        for share, origin in zip(self.of.importances(len(origins)), origins, strict=True):
            found[list(origin)] += share / len(origin)
        return found

    @property
    def work(self) -> float:
        """About how many multiplications a score takes."""
        return work(self.of)


@dataclass(frozen=True)
class Engineered:
    """An algorithm with features and a selection of its own, as a search tries them."""

    of: Any
    engineer: tuple[Engineer, ...] = ()
    select: Selection | None = None
    composed: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return str(getattr(self.of, "name", type(self.of).__name__))

    @property
    def prepares(self) -> bool:
        """Whether declared steps of inputs reach the algorithm."""
        return bool(getattr(self.of, "prepares", False))

    @property
    def chosen(self) -> dict[str, Any]:
        """The settings of the algorithm that differ from their defaults, and what was made and selected."""
        made = {"engineer": ", ".join(each.word for each in self.engineer)} if self.engineer else {}
        return {**getattr(self.of, "chosen", {}), **made, **({"select": "auto"} if self.select else {})}

    def fit(self, examples: Examples, settings: Settings | None = None) -> Estimator:
        key = (self.engineer, self.select)
        made = _VARIANTS.setdefault(examples, {})
        if key not in made:
            made[key] = replace(examples, engineer=self.engineer, select=self.select)
        return fit(self.of, made[key], settings)

    def settle(self, found: Sequence[Settings]) -> Settings:
        settled: Settings = self.of.settle(found)
        return settled


_VARIANTS: WeakKeyDictionary[Examples, dict[Any, Examples]] = WeakKeyDictionary()
_FITTED: WeakKeyDictionary[Examples, tuple[Inputs, Examples]] = WeakKeyDictionary()
"""What was made of a fold's rows: candidates share it."""


def fit(algorithm: Algorithm, examples: Examples, settings: Settings | None = None) -> Estimator:
    """Fit an algorithm on what the examples make and select, and on the rows that their sampling chooses.

    One that is made of others fits these. One that is fixed gets the inputs as they are.
    """
    if not (examples.engineer or examples.select) or sampled.takes_all(algorithm):
        return sampled.fit(algorithm, examples, settings)
    if examples not in _FITTED:
        _FITTED[examples] = Inputs.fit(examples)
    inputs, learned = _FITTED[examples]
    return EngineeredScore(inputs, sampled.fit(algorithm, learned, settings))


def recipes(examples: Examples) -> list[tuple[tuple[Engineer, ...], Selection | None]]:
    """Return what a search tries on these rows, one after the other."""
    floats, names = examples.rows.floats.shape[1], examples.names
    shown = [j for j in range(floats) if not (names and is_part(names[j]))]
    numbers = sorted({*free(examples)} & {*shown})
    found: list[tuple[tuple[Engineer, ...], Selection | None]] = []
    if len(shown) + examples.rows.strings.shape[1] > 3:
        found.append(((), Selection()))
    if len(numbers) > 1:
        found += [((Ratios(),), None), ((Interactions(),), None)]
    texts = [names[floats + j] for j in range(examples.rows.strings.shape[1]) if names and _grouping(examples, j)]
    if numbers and texts:
        found.append((tuple(GroupStatistics(by=(each,)) for each in texts[:3]), None))
    if names and any(is_part(names[j]) for j in free(examples)):
        found.append(((Cyclic(),), None))
    if len(numbers) > 7:
        found.append(((Reduction(),), None))
    return found


def _grouping(examples: Examples, column: int) -> bool:
    """Return whether a text divides the rows in groups of several."""
    levels = len(set(examples.rows.strings[:, column].tolist()))
    return 1 < levels <= len(examples) // 10
