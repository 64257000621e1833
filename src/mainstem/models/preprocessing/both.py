"""Both blocks together: the preprocessors of linear models and of trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import Matrix, Strings
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing.numbers import Filled, Scaled
from mainstem.models.preprocessing.texts import OneHot, Ordinal


@dataclass(frozen=True, eq=False)
class Both:
    """A block of floats next to a block of strings."""

    floats: Filled | Scaled
    strings: OneHot | Ordinal

    @property
    def origins(self) -> tuple[int, ...]:
        return (*self.floats.origins, *self.strings.origins)

    def transform(self, floats: Matrix, strings: Strings) -> Matrix:
        blocks: Sequence[Matrix] = (self.floats.transform(floats), self.strings.transform(strings))
        return np.ascontiguousarray(np.hstack(blocks), np.float32)

    def onnx(self, builder: Builder, floats: str, strings: str) -> str:
        numbers = [self.floats.onnx(builder, floats)] if self.floats.origins else []
        return builder.concat([*numbers, *self.strings.onnx(builder, strings)])


@dataclass(frozen=True)
class ForLinear:
    """Scaled floats and indicators, with at most `cap` levels of a text."""

    cap: int = 100

    def fit(self, floats: Matrix, strings: Strings, targets: NDArray[np.float64]) -> Both:
        return Both(Scaled.fit(floats), OneHot.fit(strings, floats.shape[1], cap=self.cap))


@dataclass(frozen=True)
class ForTrees:
    """Unchanged floats and ordinal codes, with at most `cap` levels of a text."""

    cap: int = 250

    def fit(self, floats: Matrix, strings: Strings, targets: NDArray[np.float64]) -> Both:
        return Both(Filled.fit(floats), Ordinal.fit(strings, targets, floats.shape[1], cap=self.cap))
