"""Quotients and products of two numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import Examples, Matrix, Rows
from mainstem.models.engineering.base import Names, free, is_part
from mainstem.models.engineering.strength import partial, ranked
from mainstem.models.graphs.builder import Builder
from mainstem.nodes.engineering import Interactions, Ratios

STRONGEST = 12
"""The numbers whose pairs are tried."""

LEAST = 0.03
"""The least rank correlation beside the parts of a pair that is made without being asked for."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """A quotient or a product of each pair of numbers."""

    pairs: tuple[tuple[int, int], ...]
    names: tuple[str, ...]
    told: tuple[str, ...]
    divided: bool

    @classmethod
    def fit(cls, examples: Examples, asked: Ratios | Interactions) -> Pairs:
        names, divided = Names.of(examples), isinstance(asked, Ratios)
        if asked.columns:
            chosen = [(pair, "declared") for pair in combinations(names.numbers(asked.columns), 2)]
        else:
            chosen = _best(examples, names, asked.most, divided=divided)
        sign = "/" if divided else "×"
        return cls(
            tuple(pair for pair, _ in chosen),
            tuple(f"{names.floats[a]} {sign} {names.floats[b]}" for (a, b), _ in chosen),
            tuple(f"{'quotient' if divided else 'product'}, {why}" for _, why in chosen),
            divided,
        )

    @property
    def origins(self) -> tuple[tuple[int, ...], ...]:
        return self.pairs

    def transform(self, rows: Rows) -> Matrix:
        left, right = (rows.floats[:, [pair[side] for pair in self.pairs]] for side in (0, 1))
        return _combined(left, right, divided=self.divided)

    def onnx(self, builder: Builder, floats: str, strings: str) -> str:
        left, right = (
            builder.add(
                "Gather", floats, builder.constant(np.array([pair[side] for pair in self.pairs], np.int64)), axis=1
            )
            for side in (0, 1)
        )
        if not self.divided:
            return builder.add("Mul", left, right)
        zero, gone = (builder.constant(np.array(each, np.float32)) for each in (0, np.nan))
        return builder.add("Where", builder.add("Equal", right, zero), gone, builder.add("Div", left, right))


def _combined(left: Matrix, right: Matrix, *, divided: bool) -> Matrix:
    with np.errstate(all="ignore"):
        found = np.where(right == 0, np.float32(np.nan), left / right) if divided else left * right
        return np.asarray(found, np.float32)


def _best(examples: Examples, names: Names, most: int, *, divided: bool) -> list[tuple[tuple[int, int], str]]:
    """Return the pairs that tell most of the target beside their parts, each with how much."""
    floats = examples.rows.floats
    rows = examples.some(5_000, examples.seed)
    some, targets = floats[rows], ranked(examples.targets[rows].astype(np.float64))
    able = [j for j in free(examples) if not is_part(names.floats[j]) and _varied(some[:, j])]
    ranks = {j: ranked(some[:, j].astype(np.float64)[:, None]) for j in able}
    strong = sorted(able, key=lambda j: (-partial(ranks[j], targets, ()), j))[:STRONGEST]
    found: list[tuple[float, tuple[int, int]]] = []
    for a, b in combinations(sorted(strong), 2):
        orders: Sequence[tuple[int, int]] = ((a, b), (b, a)) if divided else ((a, b),)
        for first, second in orders:
            made = _combined(some[:, [first]], some[:, [second]], divided=divided)
            if np.isfinite(made).mean() > 0.5:
                found.append((partial(ranked(made.astype(np.float64)), targets, (ranks[a], ranks[b])), (first, second)))
    best: dict[frozenset[int], tuple[float, tuple[int, int]]] = {}
    for strength, pair in sorted(found, key=lambda each: (-each[0], each[1])):
        best.setdefault(frozenset(pair), (strength, pair))
    kept = [each for each in best.values() if each[0] >= LEAST][:most]
    return [(pair, f"rank correlation {strength:.2f} with the target beside its parts") for strength, pair in kept]


def _varied(column: NDArray[np.float32]) -> bool:
    known = column[np.isfinite(column)]
    return len(known) > 0.5 * len(column) and len(np.unique(known[:500])) > 2
