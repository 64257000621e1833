"""The leading components of numbers: principal ones, or of a truncated singular value decomposition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstem.models.algorithms import libraries
from mainstem.models.data.rows import Examples, Matrix, Rows
from mainstem.models.engineering.base import Names, free
from mainstem.models.graphs.builder import Builder
from mainstem.nodes.engineering import Reduction

WITHIN = 20.0
"""Standardised numbers are clipped here: an extreme one would be the only thing that components tell."""

MOST_ROWS = 20_000


@dataclass(frozen=True, eq=False)
class Components:
    """((x − `centre`) · `scale`, clipped) · `directions` [C, K]. A missing number is at the centre."""

    columns: tuple[int, ...]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    directions: NDArray[np.float64]
    names: tuple[str, ...]
    told: tuple[str, ...]

    @classmethod
    def fit(cls, examples: Examples, asked: Reduction) -> Components:
        names = Names.of(examples)
        chosen = names.numbers(asked.columns) if asked.columns else free(examples)
        own = examples.rows.floats[examples.some(MOST_ROWS, examples.seed)][:, chosen].astype(np.float64)
        own = np.where(np.isfinite(own), own, np.nan)
        kept = [i for i, column in enumerate(own.T) if np.nanmin(np.append(column, np.inf)) < _top(column)]
        columns, own = tuple(chosen[i] for i in kept), own[:, kept]
        count = min(asked.components, len(columns), len(own))
        if count < 1:
            return cls((), np.empty(0), np.empty(0), np.empty((0, 0)), (), ())
        centre = np.nanmean(own, 0) if asked.centred else np.zeros(len(columns))
        scale = 1 / np.nanstd(own, 0)
        matrix = _standardised(own, centre, scale)
        with libraries.one_thread():
            values, vectors = np.linalg.eigh(matrix.T @ matrix)
        # A component without variance, as of columns that are multiples of others, is rounding.
        order = np.array([n for n in np.argsort(-values)[:count] if values[n] > 1e-10 * values.max()], np.int64)
        count = len(order)
        directions = vectors[:, order]
        # The sign of an eigenvector is arbitrary: its largest part is positive.
        directions = directions * np.sign(directions[np.abs(directions).argmax(0), np.arange(count)])
        shares = values[order] / max(values.sum(), 1e-300)
        word = "principal component" if asked.centred else "singular component"
        numbers = f"{len(columns)} numbers"
        of = f"the variance of {numbers}" if asked.centred else f"the squares of {numbers}, which are not centred"
        return cls(
            columns,
            centre,
            scale,
            directions,
            tuple(f"{word} {n}" for n in range(1, count + 1)),
            tuple(f"{share:.0%} of {of}" for share in shares),
        )

    @property
    def origins(self) -> tuple[tuple[int, ...], ...]:
        return (self.columns,) * len(self.names)

    def transform(self, rows: Rows) -> Matrix:
        with np.errstate(all="ignore"):
            matrix = _standardised(rows.floats[:, list(self.columns)].astype(np.float64), self.centre, self.scale)
        with libraries.one_thread():
            return np.asarray(matrix @ self.directions, np.float32)

    def onnx(self, builder: Builder, floats: str, strings: str) -> str:
        own = builder.add("Gather", floats, builder.constant(np.array(self.columns, np.int64)), axis=1)
        missing = builder.add("IsNaN", own)
        away = builder.add("Sub", builder.cast(own, "DOUBLE"), builder.constant(self.centre))
        found = builder.add("Mul", away, builder.constant(self.scale))
        found = builder.add("Where", missing, builder.constant(np.array(0.0)), found)
        ends = (builder.constant(np.array(end)) for end in (-WITHIN, WITHIN))
        found = builder.add("Clip", found, *ends)
        return builder.cast(builder.add("MatMul", found, builder.constant(self.directions)), "FLOAT")


def _top(column: NDArray[np.float64]) -> float:
    return float(np.nanmax(np.append(column, -np.inf)))


def _standardised(
    matrix: NDArray[np.float64], centre: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    found = (matrix - centre) * scale
    return np.clip(np.where(np.isnan(matrix), 0.0, found), -WITHIN, WITHIN)
