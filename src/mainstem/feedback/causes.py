"""Causes of a loss that no column is to blame for: wrong labels, and a world that changed.

Both make columns look worthless that are as they were. Three marks tell them from a broken column:

- a broken column says nothing more. Under wrong labels every column still tells, each by less; under a changed world a
  column tells by less, or the opposite;
- a model of flipped labels explains wrong labels as well as any refit does, and a changed world worse;
- labels are wrong for all columns at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mainstem.feedback.attribution import Gain, Labelled, Score
from mainstem.feedback.rivals import LABELS, WORLD, flips
from mainstem.nodes.findings import Rival
from mainstem.nodes.records import Measure

SILENT = 0.15
"""The share of its worth that a column may still have, or mislead by, and count as broken."""
TELLING = 0.05
"""The share of the largest worth from which on a column counts as one that the model uses."""
DECLINED = 0.85
"""The share of its worth that a column must have lost a part of, for the labels to be wrong for it."""
AS_WELL = 0.95
"""The share of a refit's recovery from which on flipped labels explain a loss as well."""


@dataclass(frozen=True)
class Cause:
    """A loss that `labels` or a `world_changed` explain; `gains` are those of the columns that look worse by it.

    `flips` are the shares of true outcomes recorded as false, and of false ones recorded as true.
    """

    kind: Literal["labels", "world_changed"]
    gains: tuple[Gain, ...]
    cost: Measure
    rivals: tuple[Rival, ...]
    flips: tuple[float, float] | None = None


def common(
    lost: Sequence[Gain], measured: Sequence[Gain], rivals: Sequence[Rival]
) -> tuple[Literal["labels", "world_changed"] | None, tuple[Gain, ...]]:
    """Return the common cause of lost gains, if there is one, and the gains that it explains.

    `measured` are the gains of all columns, `rivals` what wrong labels and a changed world explain.
    """
    by_name = {rival.name: rival for rival in rivals}
    labels, world = by_name.get(LABELS), by_name.get(WORLD)
    used = [g for g in measured if g.used >= TELLING * max(m.used for m in measured)]
    every = all(g.kept <= DECLINED * g.used for g in used)
    speaking = tuple(g for g in lost if abs(g.kept) > SILENT * g.used)
    explained = tuple(lost) if every and len(used) > 1 else speaking
    if not explained:
        return None, ()
    as_well = labels is not None and (world is None or labels.score >= AS_WELL * world.score)
    if labels is not None and labels.low > 0 and as_well and every:
        return "labels", tuple(lost)
    if world is not None and world.low > 0 and speaking:
        return "world_changed", speaking
    return None, ()


def flipped(rows: Labelled, score: Score) -> tuple[float, float]:
    """Return how many labels are flipped, as `flips` does, by the scores of `rows`."""
    return flips(rows.outcomes, score(rows.inputs.columns))
