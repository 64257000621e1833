"""Statistics of numbers among the training rows that share texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import Examples, Matrix, Rows, Strings
from mainstem.models.engineering.base import Names, free, is_part
from mainstem.models.engineering.strength import strengths
from mainstem.models.graphs.builder import Builder
from mainstem.models.preprocessing.levels import Levels, frequent
from mainstem.nodes.engineering import GroupStatistics

MOST_LEVELS = 2_000
MOST_GROUPS = 100_000
"""The most groups: each has a number for each statistic in the artifact."""

FEWEST = 3
"""Rows that a level and a group need for statistics of their own."""

Groups = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class OfGroups:
    """Statistics `table` [G, K], by the group of a row; column k is `subtracted` from a number where that is not −1.

    A group is a level of each of the texts; levels that training did not have are one.
    """

    levels: tuple[Levels, ...]
    table: Matrix
    subtracted: tuple[int, ...]
    names: tuple[str, ...]
    told: tuple[str, ...]
    origins: tuple[tuple[int, ...], ...]

    @classmethod
    def fit(cls, examples: Examples, asked: GroupStatistics) -> OfGroups:
        names, floats = Names.of(examples), examples.rows.floats
        texts = [names.strings.index(each) for each in asked.by if each in names.strings]
        numbers = (
            dict.fromkeys(names.numbers(asked.of), "declared") if asked.of else _strongest(examples, names, asked.most)
        )
        counted, statistics = "count" in asked.statistics, [each for each in asked.statistics if each != "count"]
        most = max(2, min(MOST_LEVELS, int(MOST_GROUPS ** (1 / max(len(texts), 1)))))
        levels = tuple(frequent(examples.rows.strings[:, j], most, FEWEST).levels(j) for j in texts)
        if not texts or not (numbers or counted) or any(not each.names for each in levels):
            return cls((), np.empty((1, 0), np.float32), (), (), (), ())
        group = _group(levels, examples.rows.strings)
        by = " and ".join(names.strings[j] for j in texts)
        width = floats.shape[1]
        parts = tuple(width + t for t in texts)
        known = f"{_groups(group):,} groups of the training rows"
        made: list[tuple[Matrix, int, str, str, tuple[int, ...]]] = []
        if counted:
            counts = np.bincount(group, minlength=_size(levels)).astype(np.float32)
            made.append((counts, -1, f"count by {by}", f"rows of a group, {known}", parts))
        for j, why in numbers.items():
            for statistic in statistics:
                away = statistic == "difference"
                column = _column(floats[:, j], group, _size(levels), "mean" if away else statistic)
                title = f"{names.floats[j]} − mean by {by}" if away else f"{statistic} {names.floats[j]} by {by}"
                made.append((column, j if away else -1, title, f"{why}, {known}", (j, *parts)))
        if not made:
            return cls((), np.empty((1, 0), np.float32), (), (), (), ())
        columns, subtracted, titles, told, origins = zip(*made, strict=True)
        return cls(levels, np.column_stack(columns), subtracted, titles, told, origins)

    def transform(self, rows: Rows) -> Matrix:
        found = self.table[_group(self.levels, rows.strings)]
        away = [k for k, j in enumerate(self.subtracted) if j >= 0]
        with np.errstate(all="ignore"):
            found[:, away] = rows.floats[:, [self.subtracted[k] for k in away]] - found[:, away]
        return found

    def onnx(self, builder: Builder, floats: str, strings: str) -> str:
        group = self.levels[0].onnx(builder, strings)
        for level in self.levels[1:]:
            size = builder.constant(np.array(level.other + 1, np.int64))
            group = builder.add("Add", builder.add("Mul", group, size), level.onnx(builder, strings))
        found = builder.add("Gather", builder.constant(self.table), group)
        away = np.array([j >= 0 for j in self.subtracted])
        if not away.any():
            return found
        number = builder.constant(np.array([max(j, 0) for j in self.subtracted], np.int64))
        less = builder.add("Sub", builder.add("Gather", floats, number, axis=1), found)
        return builder.add("Where", builder.constant(away), less, found)


def _strongest(examples: Examples, names: Names, most: int) -> dict[int, str]:
    """Return the numbers whose rank correlation with the target is largest, and what it is."""
    rows = examples.some(5_000, examples.seed)
    strong = strengths(examples.rows.floats[rows], examples.targets[rows])
    able = [j for j in free(examples) if not is_part(names.floats[j])]
    chosen = sorted(sorted(able, key=lambda j: (-strong[j], j))[:most])
    return {j: f"rank correlation of {names.floats[j]} {strong[j]:.2f}" for j in chosen}


def _size(levels: Sequence[Levels]) -> int:
    return int(np.prod([each.other + 1 for each in levels]))


def _group(levels: Sequence[Levels], strings: Strings) -> Groups:
    found = np.zeros(len(strings), np.int64)
    for each in levels:
        found = found * (each.other + 1) + each.of(strings)
    return found


def _groups(group: Groups) -> int:
    return int((np.unique(group, return_counts=True)[1] >= FEWEST).sum())


_STATISTICS: Mapping[str, Callable[[NDArray[np.float64]], float]] = {
    "mean": lambda values: float(values.mean()),
    "median": lambda values: float(np.median(values)),
    "deviation": lambda values: float(values.std()),
    "minimum": lambda values: float(values.min()),
    "maximum": lambda values: float(values.max()),
}


def _column(column: Matrix, group: Groups, size: int, statistic: str) -> Matrix:
    """Return a statistic of each group [G], of all rows for one with few."""
    known = np.isfinite(column)
    values, of = column[known].astype(np.float64), group[known]
    if not len(values):
        return np.full(size, np.nan, np.float32)
    compute = _STATISTICS[statistic]
    found = np.full(size, compute(values))
    order = np.argsort(of, kind="stable")
    ids, starts = np.unique(of[order], return_index=True)
    for number, part in zip(ids.tolist(), np.split(values[order], starts[1:]), strict=True):
        if len(part) >= FEWEST:
            found[number] = compute(part)
    return found.astype(np.float32)
