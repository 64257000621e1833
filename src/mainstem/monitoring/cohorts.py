"""Cohorts: the predictions of a day, judged together, with the share of them whose outcome is known.

The outcomes that come first are not like the others: a fraud is reported before a payment counts as honest. So a day is
judged only when the share that its monitor asks for is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import cast

import numpy as np
from numpy.typing import NDArray

from mainstem.graph.fingerprint import digest
from mainstem.graph.units import DAY
from mainstem.models.metrics import Metric, measure, of_version
from mainstem.monitoring.compared import compared
from mainstem.monitoring.history import clusters
from mainstem.monitoring.partition import Batch, Watched
from mainstem.monitoring.performance import is_alike
from mainstem.monitoring.shapes import shape_of
from mainstem.monitoring.verdicts import Cohort
from mainstem.monitoring.worth import mean, meaning, rule_of, worths
from mainstem.nodes.endpoints import MATURE, Calibration, Performance, Value
from mainstem.nodes.hidden import PREDICTION
from mainstem.nodes.instants import instant_of
from mainstem.nodes.models import Task
from mainstem.nodes.outcomes import Outcome
from mainstem.nodes.records import Measure, now
from mainstem.planning.execution import Context

FEWEST = 30
"""The number of outcomes below which a day has no metric."""

Days = NDArray[np.int64]


def days_of(batch: Batch) -> Days:
    """Return the day of each prediction, as a number since 1970."""
    return np.asarray(batch.inputs.times // DAY, np.int64)


def settled(batch: Batch, share: float) -> NDArray[np.bool_]:
    """Return which rows are of a day of which at least `share` of the outcomes are known."""
    if not len(batch):
        return np.zeros(0, bool)
    days, of_row = np.unique(days_of(batch), return_inverse=True)
    known = np.bincount(of_row, weights=batch.known, minlength=len(days))
    every = np.bincount(of_row, minlength=len(days))
    return np.asarray((known >= share * every)[of_row], bool)


def share_of(watched: Watched) -> float:
    """Return the share of outcomes from which on a day counts, as the endpoint's monitors say."""
    rules = (m for m in watched.endpoint.monitors if isinstance(m, (Calibration, Performance, Value)))
    return max((m.mature for m in rules), default=MATURE)


def cohorts(watched: Watched, batch: Batch) -> list[Cohort]:
    """Return the cohorts of the predictions that differ from how they were saved."""
    before = {found.id: found for found in saved(watched.context, watched.name, watched.version.id)}
    return [found for found in _made(watched, batch, before) if before.get(found.id) != found]


def saved(context: Context, endpoint: str, version: str) -> list[Cohort]:
    """Return the cohorts of a version as they were saved, by day."""
    found = context.records.find(Cohort, endpoint=endpoint, branch=context.branch, model_version=version)
    return sorted(found, key=lambda each: each.day)


def _made(watched: Watched, batch: Batch, before: dict[str, Cohort]) -> Iterator[Cohort]:
    days, share, target = days_of(batch), share_of(watched), watched.endpoint.model.target
    rules = [m for m in watched.endpoint.monitors if isinstance(m, Performance)]
    asked = next((m.metric for m in rules if m.metric), None) or watched.version.metric
    judge = of_version(asked, cast(Task, watched.version.task))
    coded = [judge.code] if judge is not None and judge.code else []
    valued = meaning(watched, rule_of(watched.endpoint))
    for day in np.unique(days):
        rows = batch.take(days == day)
        known, moment = rows.take(rows.known), instant_of(int(day) * DAY)
        due = instant_of((int(day) + 1) * DAY + target.micros) if isinstance(target, Outcome) else None
        id = f"{watched.context.branch}/{watched.name}/{watched.version.id}/{moment:%Y-%m-%d}"
        mark, held = _fingerprint(watched, known, asked, *coded, valued), before.get(id)
        if held is not None and held.fingerprint == mark:
            found, worth = held.measure, held.worth
        else:
            found, worth = _measured(watched, known, judge), _worth(watched, known)
        yield Cohort(
            id,
            watched.name,
            watched.context.branch,
            watched.version.id,
            moment.date(),
            len(rows),
            len(known),
            len(known) >= share * len(rows),
            asked,
            found,
            due,
            due is None or due <= now(),
            worth,
            mark,
            shape_of(rows, watched.version.task),
        )


def _fingerprint(watched: Watched, known: Batch, *rules: str) -> str:
    """Return a hash of all that the metric and the value of a day follow from: which predictions have which outcome,
    and by which rules they are judged. What was predicted does not change."""
    truth, _ = compared(watched.version, known)
    return digest(*rules, *known.table[PREDICTION].to_pylist(), truth.tobytes().hex())


def _measured(watched: Watched, known: Batch, judge: Metric | None) -> Measure | None:
    """Return the metric on rows with outcomes; None if there are too few, or it is undefined on them, or gone."""
    task = cast(Task, watched.version.task)
    if judge is None or len(known) < FEWEST or is_alike(task, known.outcomes):
        return None
    truth, scores = compared(watched.version, known)
    found = measure(judge, truth, scores, groups=clusters(known.inputs.times))
    return found if all(map(isfinite, (found.value, found.low, found.high))) else None


def _worth(watched: Watched, known: Batch) -> Measure | None:
    """Return the mean value of decisions with outcomes; None if there are too few, or they have no value."""
    rule = rule_of(watched.endpoint)
    if rule is None or len(known) < FEWEST:
        return None
    values = worths(watched, known, rule)
    valued = np.isfinite(values)
    return mean(values[valued], known.inputs.times[valued]) if valued.sum() >= FEWEST else None


def immature(found: Sequence[Cohort]) -> str:
    """Return what a run says of days that are not mature."""
    young = [each for each in found if not each.mature]
    if not young:
        return ""
    known, every = sum(each.known for each in young), sum(each.predictions for each in young)
    days = f"{len(young)} of {len(found)} day{'s' if len(found) != 1 else ''}"
    return f"{days} not mature: {known:,} of {every:,} outcomes known"
