"""Causes of a loss other than a column: wrong labels, and a changed world.

Both make unchanged columns look worthless. Three signs distinguish them from a broken column:

- A broken column has no information. With wrong labels every column keeps a part of its information. In a changed world
  a column keeps a part, or its relation to the outcome is reversed.
- A model of flipped labels explains wrong labels as well as a refit does. It explains a changed world worse.
- Wrong labels affect all columns at once.
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
"""A column with a gain between minus and plus this share of its former gain counts as broken."""
TELLING = 0.05
"""A column counts as used by the model if its gain is at least this share of the largest gain."""
DECLINED = 0.85
"""Labels can be wrong only if each used column keeps at most this share of its former gain."""
AS_WELL = 0.95
"""The least share of a refit's recovery that flipped labels must reach to count as an equally good explanation."""


@dataclass(frozen=True)
class Cause:
    """A loss that wrong labels or a changed world explains. `gains` are those of the affected columns.

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
