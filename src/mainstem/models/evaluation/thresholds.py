"""Set a threshold on validation rows, and measure decisions by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.models.data.rows import Examples, Scores
from mainstem.models.metrics import METRICS, Array, Metric, Weighted, confusion, measures
from mainstem.nodes.evaluations import Decisions
from mainstem.nodes.records import Measure
from mainstem.nodes.thresholds import AT_LEAST, Threshold

Floats = NDArray[np.float64]
DECIDED = ("precision", "recall", "f1", "accuracy", "balanced_accuracy", "mcc")


@dataclass(frozen=True)
class Settled:
    """A threshold, the rule that set it, the number of validation rows, and the measures there. `asked` is None for a
    threshold that was declared."""

    value: float
    rule: str
    rows: int
    expected: Mapping[str, float]
    asked: Threshold | None = None


def settled(rule: Threshold | float, y: NDArray[np.int64], scores: Scores) -> Settled:
    """Return the threshold that a rule sets on validation rows. Raises `ModelError` if no threshold keeps the bound."""
    if not isinstance(rule, Threshold):
        at = _counted(y, scores, np.array([float(rule)]))
        return Settled(float(rule), "as declared", len(y), _at(at, 0, None))
    tried = _between(scores)
    at = _counted(y, scores, tried)
    best = _cheapest(rule, at) if rule.cost else _bounded(rule, at)
    return Settled(float(tried[best]), str(rule), len(y), _at(at, best, rule if rule.cost else None), rule)


def decisions(
    chosen: Settled, examples: Examples, scores: Scores, decided: NDArray[np.bool_], units: NDArray[np.int64] | None
) -> Decisions:
    """Return what the decisions on the test rows are worth, by what the rule asks for first; and those at ½."""
    asked = None if chosen.asked is None else _asked(chosen.asked)
    first = [] if asked is None else [asked]
    of = [*first, *(METRICS[name] for name in DECIDED if asked is None or name != asked.name)]

    def measured(by: Array) -> dict[str, Measure]:
        return _defined(of, examples, by.astype(float), units)

    cells = np.bincount(examples.y.astype(int) * 2 + decided, minlength=4).reshape(2, 2)
    return Decisions(
        threshold=chosen.value,
        rule=chosen.rule,
        validation=chosen.rows,
        expected=chosen.expected,
        measured=measured(decided),
        confusion=tuple(tuple(map(int, row)) for row in cells),
        half=measured(scores >= 0.5),
    )


def _defined(
    of: Sequence[Metric], examples: Examples, decided: Floats, units: NDArray[np.int64] | None
) -> dict[str, Measure]:
    found = measures(of, examples.y, decided, groups=units, seed=examples.seed)
    return {name: m for name, m in found.items() if np.isfinite([m.value, m.low, m.high]).all()}


def _asked(rule: Threshold) -> Metric:
    """Return what a rule asks for as a metric of decisions: its mean cost, or the measure that it bounds."""

    def confused(matrix: Floats) -> float:
        if matrix.sum() <= 0:
            return float("nan")
        (calm, alarms), (missed, hits) = matrix
        at = {
            "true_positive": hits,
            "false_positive": alarms,
            "false_negative": missed,
            "true_negative": calm,
        }
        counts = {name: np.array([count]) for name, count in at.items()}
        return float((_cost(rule, counts) if rule.cost else _measured(counts)[rule.measure])[0])

    def bind(y: Array, scores: Array) -> Weighted:
        matrix = confusion(y, scores)
        return lambda weights: confused(matrix(weights))

    name = "cost" if rule.cost else rule.measure
    return Metric(name, frozenset(["binary"]), rule.measure in AT_LEAST, bind, confused)


def _between(scores: Scores) -> Floats:
    """Return thresholds between neighbouring scores, from the lowest; they decide every distinct way. The last flags no
    row, unless one has the score 1."""
    distinct = np.unique(scores)
    above = np.append(distinct, 1.0) if distinct[-1] < 1 else distinct
    middle = (above[1:] + above[:-1]) / 2
    # In float64 the middle of two neighbours may be the lower one, which would flag it.
    return np.concatenate([distinct[:1], np.where(middle > above[:-1], middle, above[1:])])


def _counted(y: NDArray[np.int64], scores: Scores, thresholds: Floats) -> dict[str, Floats]:
    """Return the four counts at each threshold, and the number of rows."""
    positive, negative = np.sort(scores[y > 0.5]), np.sort(scores[y <= 0.5])
    hits = len(positive) - np.searchsorted(positive, thresholds, side="left")
    alarms = len(negative) - np.searchsorted(negative, thresholds, side="left")
    return {
        "true_positive": hits.astype(float),
        "false_positive": alarms.astype(float),
        "false_negative": len(positive) - hits.astype(float),
        "true_negative": len(negative) - alarms.astype(float),
    }


def _measured(at: Mapping[str, Floats]) -> dict[str, Floats]:
    hits, alarms, missed, calm = (
        at[name] for name in ("true_positive", "false_positive", "false_negative", "true_negative")
    )
    rows = hits + alarms + missed + calm
    return {
        "precision": np.divide(hits, hits + alarms, out=np.zeros(len(hits)), where=hits + alarms > 0),
        "recall": np.divide(hits, hits + missed, out=np.zeros(len(hits)), where=hits + missed > 0),
        "fallout": np.divide(alarms, alarms + calm, out=np.zeros(len(hits)), where=alarms + calm > 0),
        "flagged": (hits + alarms) / rows,
    }


def _cost(rule: Threshold, at: Mapping[str, Floats]) -> Floats:
    total = sum((price * at[name] for name, price in rule.cost), np.zeros(len(at["true_positive"])))
    rows = sum(float(each[0]) for each in at.values())
    return np.asarray(total / rows)


def _cheapest(rule: Threshold, at: Mapping[str, Floats]) -> int:
    return int(np.argmin(_cost(rule, at)))


def _bounded(rule: Threshold, at: Mapping[str, Floats]) -> int:
    found = _measured(at)
    bounded, aim = found[rule.measure], found["precision" if rule.measure == "recall" else "recall"]
    kept = bounded >= rule.bound if rule.measure in AT_LEAST else bounded <= rule.bound
    kept &= at["true_positive"] > 0
    if not kept.any():
        best = bounded[at["true_positive"] > 0]
        reached = (best.max() if rule.measure in AT_LEAST else best.min()) if len(best) else float("nan")
        raise ModelError(
            f"no threshold keeps {rule} on the validation rows",
            got=f"{rule.measure} {reached:.3f} at best, on {int(sum(v[0] for v in at.values())):,} rows",
            hint="a bound that the model can keep, or better features",
        )
    # Of equal ones, the highest threshold: it flags the fewest rows.
    allowed = np.flatnonzero(kept)
    return int(allowed[np.lexsort((allowed, aim[allowed]))[-1]])


def _at(at: Mapping[str, Floats], place: int, priced: Threshold | None) -> dict[str, float]:
    found = {name: float(values[place]) for name, values in _measured(at).items()}
    return found | ({"cost": float(_cost(priced, at)[place])} if priced else {})
