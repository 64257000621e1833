"""Several quantiles from estimators of one: each fitted alone, side by side, in ascending order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms.base import Estimator, Settings, linked, linked_onnx, work
from mainstem.models.data.quantiles import label_of
from mainstem.models.data.rows import Examples, Rows, Scores
from mainstem.models.graphs.builder import Builder


@dataclass(frozen=True, eq=False)
class QuantilesScore:
    """One estimator for each quantile. Their scores are sorted for each row, so that quantiles do not cross
    (Chernozhukov, Fernández-Val and Galichon 2010)."""

    parts: Mapping[str, Estimator]

    @property
    def settings(self) -> Settings:
        return {f"{name} {label}": value for label, part in self.parts.items() for name, value in part.settings.items()}

    def scores(self, rows: Rows) -> Scores:
        return linked(np.column_stack([part.scores(rows) for part in self.parts.values()]), "quantile")

    def onnx(self, builder: Builder) -> str:
        column = builder.constant(np.array([-1, 1], np.int64))
        each = [builder.add("Reshape", part.onnx(builder), column) for part in self.parts.values()]
        return linked_onnx(builder, builder.concat(each), "quantile", len(each))

    def importances(self, inputs: int) -> NDArray[np.float64]:
        return np.asarray(np.mean([part.importances(inputs) for part in self.parts.values()], axis=0))

    @property
    def work(self) -> float:
        """About how many multiplications a score takes."""
        return sum(map(work, self.parts.values()))


def each_alone(
    examples: Examples, settings: Settings | None, fit: Callable[[Examples, float, Settings | None], Estimator]
) -> QuantilesScore:
    """Fit each quantile as a regression of its level, with its own part of the settings."""
    alone = replace(examples, task="regression", classes=0, quantiles=())
    return QuantilesScore(
        {
            (label := label_of(level)): fit(alone, level, _own(label, settings or {}) or None)
            for level in examples.quantiles
        }
    )


def _own(label: str, settings: Settings) -> dict[str, float]:
    return {name.removesuffix(f" {label}"): each for name, each in settings.items() if name.endswith(f" {label}")}


def means(found: Sequence[Settings]) -> dict[str, float]:
    """Return the mean of each number of rounds that the folds found, rounded."""
    names = found[0] if found else ()
    return {name: float(max(1, round(sum(each[name] for each in found) / len(found)))) for name in names}
