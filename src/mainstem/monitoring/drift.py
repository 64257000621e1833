"""Drift: find inputs of a model that are further from their reference than any clean stretch of history.

An input has drifted if three conditions hold. Its distribution differs (KS, or χ² for texts) after Benjamini–Hochberg
over all inputs. The difference is large enough (population stability index at least the monitor's `effect`). It is
larger than in any clean week of the training data (or shorter stretch, for a shorter partition). The last condition
excludes seasons: December is colder than autumn, but not colder than January.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mainstem.monitoring.history import FEWEST, Micros, stretch, stretches
from mainstem.monitoring.statistics import (
    Array,
    Bins,
    benjamini_hochberg,
    chi_square_p,
    kolmogorov_p,
    kolmogorov_smirnov,
    population_stability,
)
from mainstem.monitoring.verdicts import Shift
from mainstem.nodes.endpoints import Drift
from mainstem.nodes.records import InputColumn


@dataclass(frozen=True)
class Sample:
    """Rows of a model's inputs: columns (float64 with NaN, or objects with None) [n], and times [n] in µs."""

    columns: Mapping[str, Array]
    times: Micros

    def __len__(self) -> int:
        return len(self.times)

    def take(self, rows: Array) -> Sample:
        """Return some of the rows."""
        return Sample({name: column[rows] for name, column in self.columns.items()}, self.times[rows])


def shifts(
    reference: Sample, current: Sample, inputs: Sequence[InputColumn], rule: Drift, history: Sample | None = None
) -> tuple[Shift, ...]:
    """Return the shift of every input from `reference` to `current`, in the order of `inputs`.

    `history` are all clean rows, including the reference. Without it, or with too few stretches, only the first two
    conditions count. An input with fewer than `rule.min_rows` rows in a sample is not judged: its `enough` is false.
    """
    parts = _parts(history, current) if history is not None else []
    found = [_shift(i, reference, current, history, parts, rule) for i in inputs]
    judged = [s for s in found if s.enough]
    adjusted = dict(zip([s.input for s in judged], benjamini_hochberg([s.adjusted_p for s in judged]), strict=True))
    return tuple(_decided(s, adjusted[s.input], rule) if s.enough else s for s in found)


def _decided(shift: Shift, p: float, rule: Drift) -> Shift:
    drifted = p <= rule.alpha and shift.effect >= rule.effect and shift.effect > shift.usual
    return replace(shift, adjusted_p=p, drifted=drifted)


def _parts(history: Sample, current: Sample) -> list[Array]:
    if not len(history) or not len(current):
        return []
    span, whole = (int(np.ptp(times)) for times in (current.times, history.times))
    return list(stretches(history.times, stretch(span, whole)))


def _shift(
    column: InputColumn, reference: Sample, current: Sample, history: Sample | None, parts: list[Array], rule: Drift
) -> Shift:
    text = column.type == "string"
    before, now = reference.columns[column.name], current.columns[column.name]
    bins = Bins.of(before, text)
    a, b = (bins.counts(bins.cells(sample)) for sample in (before, now))
    nulls = (_share(a[-1], a.sum()), _share(b[-1], b.sum()))
    effect, usual = population_stability(a, b), 0.0
    if history is not None and len(parts) >= FEWEST:
        usual = _usual(bins, a, history.columns[column.name], parts)
    if min(a.sum(), b.sum()) < rule.min_rows:
        return Shift(
            column.name, "none", 0.0, effect, usual, 1.0, *_typical(before, now, a, b, text), nulls, enough=False
        )
    test, statistic, p = _tested(before, now, a, b, text)
    return Shift(column.name, test, statistic, effect, usual, p, *_typical(before, now, a, b, text), nulls)  # type: ignore[arg-type]


def _usual(bins: Bins, reference: Array, column: Array, parts: list[Array]) -> float:
    """Return the largest effect of a clean stretch against the reference."""
    cells = bins.cells(column)
    return max(population_stability(reference, bins.counts(cells[part])) for part in parts)


def _tested(before: Array, now: Array, a: Array, b: Array, text: bool) -> tuple[str, float, float]:
    """Return the test, its statistic and p. For numbers it is the more significant of two: distribution
    and null rate."""
    if text:
        return "chi²", *chi_square_p(a, b)
    known, current = before[~np.isnan(before)], now[~np.isnan(now)]
    statistic = kolmogorov_smirnov(known, current)
    p = kolmogorov_p(statistic, len(known), len(current))
    _, null_p = chi_square_p(np.array([a[-1], a[:-1].sum()]), np.array([b[-1], b[:-1].sum()]))
    return "KS", 0.0 if statistic != statistic else statistic, min(1.0, 2 * min(p, null_p))


def _typical(before: Array, now: Array, a: Array, b: Array, text: bool) -> tuple[float, float]:
    if text:
        p, q = a / max(a.sum(), 1), b / max(b.sum(), 1)
        most = int(np.abs(q - p).argmax())
        return float(p[most]), float(q[most])
    known = [x[~np.isnan(x)] for x in (before, now)]
    first, second = (float(np.median(x)) if len(x) else float("nan") for x in known)
    return first, second


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
