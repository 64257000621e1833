"""Performance: compare a model's metric on joined outcomes with a floor."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np

from mainstem.models.metrics import Array, Metric, measure, of_version
from mainstem.monitoring.history import Micros, clusters
from mainstem.monitoring.verdicts import Judgement
from mainstem.nodes.endpoints import Performance
from mainstem.nodes.models import Task
from mainstem.nodes.records import Measure

OF_ONE_CLASS = frozenset({"ece", "brier", "log_loss", "accuracy"})
"""Metrics that compare each outcome with its own score, so that outcomes may all be of one class."""

GONE = "the project no longer has this metric"


@dataclass(frozen=True)
class Grade:
    """The metric on rows with outcomes, and its judgement against the floor."""

    judgement: Judgement
    metric: str
    measure: Measure | None
    text: str


def grade(
    rule: Performance,
    y: Array,
    scores: Array,
    times: Micros,
    *,
    task: Task = "binary",
    default: str = "average_precision",
) -> Grade:
    """Judge served `scores` [n] by their outcomes `y` [n]. Days are resampled as wholes.

    Only the favourable end of the interval is compared with the floor (the upper end if higher is better), so that the
    noise of a small partition does not raise an alarm.
    """
    name = rule.metric or default
    words, chosen = name.replace("_", " "), of_version(name, task)
    if chosen is None:
        return Grade("not enough rows", name, None, f"{words} not judged: {GONE}")
    if len(y) < rule.min_rows:
        text = f"{words} not judged: {len(y):,} outcomes, {rule.min_rows:,} are needed"
        return Grade("not enough rows", chosen.name, None, text)
    if chosen.name not in OF_ONE_CLASS and is_alike(task, y):
        return Grade("not enough rows", chosen.name, None, f"{words} not judged: all outcomes are equal")
    found = measure(chosen, y, scores, groups=clusters(times))
    if not isfinite(found.value):
        return Grade("not enough rows", chosen.name, None, f"{words} not judged: it is undefined on these outcomes")
    kind = found.high if chosen.higher_is_better else found.low
    failing = kind < rule.floor if chosen.higher_is_better else kind > rule.floor
    text = f"{words} {found.value:.3f} ({found.low:.3f}–{found.high:.3f}), {_side(found, rule.floor, chosen, failing)}"
    return Grade("failing" if failing else "fine", chosen.name, found, text)


def is_alike(task: Task, y: Array) -> bool:
    """Return whether a metric of classes has nothing to tell apart, because all outcomes are of one class."""
    return task == "binary" and len(np.unique(y)) < 2


def _side(found: Measure, floor: float, chosen: Metric, failing: bool) -> str:
    good, bad, edge = ("above", "below", "floor") if chosen.higher_is_better else ("below", "above", "ceiling")
    if failing:
        return f"{bad} the {edge} of {floor:g}"
    surely = chosen.sign * (found.value - floor) >= 0
    return f"{good} the {edge} of {floor:g}" if surely else f"not significantly {bad} the {edge} of {floor:g}"
