"""Parts of the test rows in which a version is worse than elsewhere, or biased.

The declared slices are measured. A search tests every level and quartile of the inputs. The rows of one unit (a day, a
group) are not independent, so the variance of a difference of means is that of sums per unit. p-values are adjusted
after Benjamini and Hochberg (1995).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise, product
from math import erfc, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import NULL
from mainstem.models.evaluation.outofsample import OutOfSample, column
from mainstem.models.metrics import Metric, measure, row_loss
from mainstem.nodes.evaluations import Slice, Slices

FEWEST_ROWS, FEWEST_SHARE = 30, 0.01
"""A smaller slice is not looked at."""

FEWEST_UNITS = 20
"""A slice, or the rest, with fewer units cannot be told from chance."""

RATE = 0.05
"""The share of false ones among the slices that are found."""

MOST_ROWS = 50_000
"""Rows beyond which a sample is searched: it finds whatever is large enough to matter."""

MOST_INPUTS, MOST_LEVELS, MOST_SHOWN = 30, 20, 8
DRAWS = 100

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Loss and error (target − score) of each row, and the number of its unit."""

    loss: NDArray[np.float64]
    error: NDArray[np.float64] | None
    unit: NDArray[np.intp]


def slices(
    measured: OutOfSample,
    judge: Metric,
    inputs: Sequence[tuple[str, int]],
    declared: Sequence[tuple[str, ...]],
    units: NDArray[np.int64] | None,
) -> Slices:
    """Return the declared slices, and those that a search among the first `MOST_INPUTS` of `inputs` finds."""
    if measured.examples.task == "ranking":  # a row has no loss of its own
        return Slices()
    if len(measured.examples) > MOST_ROWS:
        at = measured.sample(MOST_ROWS)
        measured, units = measured.take(at), None if units is None else units[at]
    rows = _rows(measured, units)
    number = dict(inputs)
    asked = [each for names in declared for each in _crossed(measured, [(name, number[name]) for name in names])]
    searched = [each for name, at in inputs[:MOST_INPUTS] for each in _parts(measured, name, at)]
    found = [(where, mask, slice) for where, mask, slice in _tested(searched, rows) if slice.found]
    found.sort(key=lambda each: -_weight(rows, each[1]))
    return Slices(
        tuple(_measured(measured, judge, mask, slice, units) for _, mask, slice in _tested(asked, rows)),
        tuple(
            islice(
                _worse((_measured(measured, judge, mask, each, units) for _, mask, each in found), judge), MOST_SHOWN
            )
        ),
        len(searched),
        len(inputs[:MOST_INPUTS]),
    )


def _rows(measured: OutOfSample, units: NDArray[np.int64] | None) -> _Rows:
    examples, scores = measured.examples, measured.scores
    loss = row_loss(examples.task, examples.truth, scores)
    error = None if scores.ndim == 2 else np.asarray(examples.y, float) - scores
    of_row = np.arange(len(loss)) if units is None else np.unique(units, return_inverse=True)[1]
    return _Rows(loss, error, of_row)


# ── which rows ────────────────────────────────────────────────────────────────────────────────────────


def _parts(measured: OutOfSample, name: str, number: int) -> list[tuple[str, Mask]]:
    """Return the parts of the rows by one input: its frequent levels or values, or quartiles; and missing values."""
    values = column(measured.examples.rows, number)
    fewest = max(FEWEST_ROWS, FEWEST_SHARE * len(values))
    return [(where, mask) for where, mask in _by_value(name, values) if fewest <= mask.sum() <= len(mask) - fewest]


def _by_value(name: str, values: NDArray[Any]) -> Iterator[tuple[str, Mask]]:
    if values.dtype == object:
        levels, counts = np.unique(values.astype(str), return_counts=True)
        for level in levels[np.argsort(-counts, kind="stable")[:MOST_LEVELS]]:
            yield f"{name} is missing" if level == NULL else f"{name} = {level}", np.asarray(values == level, bool)
        return
    missing = np.isnan(values)
    yield f"{name} is missing", missing
    distinct = np.unique(values[~missing])
    if len(distinct) <= 8:
        yield from ((f"{name} = {value:g}", values == value) for value in distinct)
        return
    edges = np.unique(np.quantile(values[~missing], (0.25, 0.5, 0.75)))
    yield f"{name} < {edges[0]:.4g}", values < edges[0]
    for low, high in pairwise(edges):
        yield f"{low:.4g} ≤ {name} < {high:.4g}", (values >= low) & (values < high)
    yield f"{name} ≥ {edges[-1]:.4g}", values >= edges[-1]


def _crossed(measured: OutOfSample, inputs: Sequence[tuple[str, int]]) -> list[tuple[str, Mask]]:
    """Return the parts by several inputs together."""
    each = [_parts(measured, name, number) for name, number in inputs]
    crossed = [
        (", ".join(where for where, _ in parts), np.logical_and.reduce([mask for _, mask in parts]))
        for parts in product(*each)
    ]
    return [(where, mask) for where, mask in crossed if FEWEST_ROWS <= mask.sum() < len(mask)]


# ── tests ─────────────────────────────────────────────────────────────────────────────────────────────


def _tested(parts: Sequence[tuple[str, Mask]], rows: _Rows) -> list[tuple[str, Mask, Slice]]:
    """Return each part with its adjusted p-values."""
    losses = [_p_value(rows.loss, mask, rows.unit, sides=1) for _, mask in parts]
    biases = [] if rows.error is None else [_p_value(rows.error, mask, rows.unit, sides=2) for _, mask in parts]
    adjusted = _adjusted([*losses, *biases])
    found = []
    for i, (where, mask) in enumerate(parts):
        p, b = adjusted[i], adjusted[len(parts) + i] if biases else None
        kinds: list[Any] = [kind for kind, each in (("loss", p), ("bias", b)) if each is not None and each <= RATE]
        bias = None if rows.error is None else float(rows.error[mask].mean())
        found.append((where, mask, Slice(where, int(mask.sum()), None, None, p, bias, b, tuple(kinds))))
    return found


def _p_value(values: NDArray[np.float64], mask: Mask, unit: NDArray[np.intp], *, sides: int) -> float:
    """Return how likely a mean that much larger (one side), or that different, is by chance."""
    units = int(unit.max(initial=-1)) + 1
    if min(np.count_nonzero(np.bincount(unit[side], minlength=units)) for side in (mask, ~mask)) < FEWEST_UNITS:
        return 1.0
    here, there = values[mask].mean(), values[~mask].mean()
    influence = np.where(mask, (values - here) / mask.sum(), (there - values) / (~mask).sum())
    spread = sqrt(float((np.bincount(unit, influence, minlength=units) ** 2).sum()) * units / (units - 1))
    if spread <= 1e-12 * max(1.0, abs(here)):
        return 1.0
    z = (here - there) / spread
    return erfc((abs(z) if sides == 2 else z) / sqrt(2)) * (1 if sides == 2 else 0.5)


def _adjusted(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for the number of tests, after Benjamini and Hochberg."""
    found = np.asarray(p, float)
    order = np.argsort(found)
    scaled = found[order] * len(found) / np.arange(1, len(found) + 1)
    adjusted = np.empty(len(found))
    adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1.0)
    return [float(each) for each in adjusted]


def _worse(found: Iterable[Slice], judge: Metric) -> Iterator[Slice]:
    """Yield the slices without a higher loss that the metric does not confirm: where half of the rows are true, any
    model has a higher loss than where a tenth is."""
    for each in found:
        better = (
            each.measure is not None and each.rest is not None and judge.sign * (each.measure.value - each.rest) >= 0
        )
        kinds = tuple(kind for kind in each.found if kind != "loss" or not better)
        if kinds:
            yield replace(each, found=kinds)


def _weight(rows: _Rows, mask: Mask) -> float:
    """Return how much of the whole loss a slice adds beyond its share, or its bias if it adds none."""
    excess = float((rows.loss[mask] - rows.loss[~mask].mean()).sum()) / len(mask)
    return excess if excess > 0 or rows.error is None else abs(float(rows.error[mask].sum())) / len(mask) * 1e-3


def _measured(measured: OutOfSample, judge: Metric, mask: Mask, slice: Slice, units: NDArray[np.int64] | None) -> Slice:
    """Return the slice with its metric, where it is defined."""
    y, scores = measured.examples.truth, measured.scores
    groups = None if units is None else units[mask]
    seed = measured.examples.seed
    inside = measure(judge, y[mask], scores[mask], groups=groups, resamples=DRAWS, seed=seed)
    rest = judge.value(y[~mask], scores[~mask])
    defined = bool(np.isfinite([inside.value, inside.low, inside.high]).all())
    return replace(slice, measure=inside if defined else None, rest=float(rest) if np.isfinite(rest) else None)
