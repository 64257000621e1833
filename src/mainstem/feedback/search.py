"""The search for causes: from drifted inputs and lost gain to source columns, each with its cost and its fix.

Changes of unit come first, since they can be proved on the source itself and reversed. The remaining columns are tested
for lost gain with the proven causes repaired, so that a broken column does not accuse its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mainstem.feedback.attribution import DRAWS, ROWS, Gain, Labelled, gains, sampled
from mainstem.feedback.case import Case
from mainstem.feedback.causes import Cause, common, flipped
from mainstem.feedback.changes import Change, Series, Window, unit_change
from mainstem.feedback.rivals import recovered, rivals
from mainstem.models.metrics import Array, difference
from mainstem.monitoring.drift import shifts
from mainstem.monitoring.history import clusters
from mainstem.monitoring.verdicts import Shift
from mainstem.nodes.findings import Recovery, Rival, Rule
from mainstem.nodes.records import Measure

Replay = Callable[[Sequence[Rule]], Mapping[str, Array]]
"""Recomputes the inputs of the case's rows with rules in force: name → column [n]."""

Read = Callable[[str, str], Series | None]
"""Reads a source's current column, given the names of source and column."""

NEGLIGIBLE = 0.03
"""A cost below this share of the metric is negligible."""
ALPHA = 0.01
WORTH = 0.5
"""A column must lose at least this share of its worth for a finding."""


@dataclass(frozen=True)
class Repair:
    """A change of unit, and the effect of reversing it on the same rows."""

    change: Change
    shifts: tuple[Shift, ...]
    gain: Gain | None
    recovery: Recovery
    rivals: tuple[Rival, ...]

    @property
    def harmless(self) -> bool:
        """Whether the cost of the change is negligible."""
        return negligible(self.recovery.recovered, self.recovery.before)


@dataclass(frozen=True)
class Loss:
    """A column that has lost its worth for the model, unexplained by a rescale. `cost` is in the metric."""

    gain: Gain
    cost: Measure
    rivals: tuple[Rival, ...]


@dataclass(frozen=True)
class Found:
    """The results of a search."""

    shifts: tuple[Shift, ...]
    repairs: tuple[Repair, ...]
    losses: tuple[Loss, ...]
    causes: tuple[Cause, ...] = ()


def negligible(cost: Measure, metric: float) -> bool:
    """Return whether a cost is not significantly above 0, or too small compared with the metric."""
    return not (cost.low > 0 and cost.value >= NEGLIGIBLE * abs(metric))


def search(case: Case, read: Read, replay: Replay, suspect: Mapping[str, list[Window]] | None = None) -> Found:
    """Search for causes in the case's data. `suspect` maps `source.column` to windows that are not used as
    a reference."""
    drifted = shifts(case.reference.inputs, case.rows.inputs, case.inputs, case.drift, case.history)
    changes = _changes(case, drifted, read, suspect or {})
    others = rivals(case.rows, case.reference, case.unseeing, task=case.task) if changes else ()
    repairs = tuple(_repair(case, change, drifted, replay, others) for change in changes)
    repaired = replay([change.rule for change in changes]) if changes else {}
    losses, causes = _losses(case, case.rows.with_columns(repaired), {c.place for c in changes}, others)
    return Found(drifted, repairs, losses, causes)


def _changes(case: Case, found: Sequence[Shift], read: Read, suspect: Mapping[str, list[Window]]) -> list[Change]:
    """Return changes of unit in the source columns of drifted inputs. The most drifted come first.

    Neither that a season moved an input as far before nor that it moved little acquits it here: a unit is proved on the
    source itself, and a fault may cover a small part of the batch.
    """
    sources = {c.name: c.sources for c in case.inputs}
    moved = [s for s in found if s.enough and s.adjusted_p <= case.drift.alpha]
    moved.sort(key=lambda s: -s.effect)
    places = dict.fromkeys(place for shift in moved for place in sources[shift.input])
    changes = []
    for place in places:
        node, _, column = place.rpartition(".")
        rows = read(node, column)
        change = unit_change(node, column, rows, case.window, suspect.get(place, [])) if rows is not None else None
        changes += [change] if change is not None else []
    return changes


def _repair(case: Case, change: Change, found: Sequence[Shift], replay: Replay, others: tuple[Rival, ...]) -> Repair:
    inputs = [c for c in case.inputs if change.place in c.sources]
    names = {c.name for c in inputs}
    scores = case.rescored(replay([change.rule]))
    own = recovered(f"{change.place} repaired", case.rows, case.served, scores, case.task)
    measured = gains(case.rows, case.reference, inputs, case.unseeing, task=case.task)
    gain = next((g for g in measured if change.place in g.sources), None)
    behind = tuple(s for s in found if s.input in names)
    return Repair(change, behind, gain, case.recovery(scores), (own, *others))


def _losses(
    case: Case, rows: Labelled, explained: set[str], others: tuple[Rival, ...]
) -> tuple[tuple[Loss, ...], tuple[Cause, ...]]:
    """Return the columns that lost their worth, and the common causes of losses that no column explains."""
    measured = gains(rows, case.reference, case.inputs, case.unseeing, task=case.task)
    lost = [g for g in measured if _lost(g) and not explained.intersection(g.sources)]
    if not lost:
        return (), ()
    others = others or rivals(case.rows, case.reference, case.unseeing, task=case.task)
    after = rivals(rows, case.reference, case.unseeing, task=case.task) if explained else others
    kind, common_to = common(lost, measured, after)
    causes = []
    if kind is not None:
        costs = [_worth_lost(case, rows, gain) for gain in common_to]
        cost = max(costs, key=lambda each: each.value)
        if not negligible(cost, case.value(case.served)):
            wrong = flipped(rows, case.unseeing) if kind == "labels" else None
            causes.append(Cause(kind, common_to, cost, after, wrong))
    losses = []
    for gain in (g for g in lost if g not in common_to):
        cost = _worth_lost(case, rows, gain)
        own = Rival(f"{gain.named} lost its worth", gain.gain.value, gain.gain.low, gain.gain.high)
        if not negligible(cost, case.value(case.served)):
            losses.append(Loss(gain, cost, (own, *others)))
    return tuple(losses), tuple(causes)


def _lost(gain: Gain) -> bool:
    return gain.adjusted_p <= ALPHA and gain.used > 0 and gain.kept <= (1 - WORTH) * gain.used


def _worth_lost(case: Case, rows: Labelled, gain: Gain, seed: int = 1) -> Measure:
    """Return the column's contribution to the metric on the reference, minus that on the batch, with a 95
    % interval."""
    random = np.random.default_rng(seed)
    pool = case.reference.inputs
    worths = []
    for side in (case.reference, rows):
        chosen = side.take(sampled(len(side), DRAWS * ROWS, random))
        drawn = random.integers(0, len(pool), len(chosen))
        without = {**chosen.inputs.columns, **{name: pool.columns[name][drawn] for name in gain.inputs}}
        scores = [case.unseeing(chosen.inputs.columns), case.unseeing(without)]
        groups = clusters(chosen.inputs.times)
        worths.append(difference(case.metric, chosen.outcomes, *scores, groups=groups))
    then, now = worths
    value = then.value - now.value
    half = float(np.hypot((then.high - then.low) / 2, (now.high - now.low) / 2))
    return Measure(value, value - half, value + half, now.rows)
