"""Guards: whether a remedy's cause is still there.

A guard is an aggregate over the corrected rows of one day, such as `median(abs(nullif(dep_delay, 0))) BETWEEN 1.5
AND 31`. One day may be odd; when most of the latest days fail, the vendor has fixed the data and the remedy harms it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.feedback.remedies import FILE
from mainstem.monitoring.history import DAY, Micros
from mainstem.nodes.findings import Rule
from mainstem.nodes.sources import Source
from mainstem.planning.execution import Context
from mainstem.tables.conditions import condition, quoted
from mainstem.tables.guards import guard

FEWEST = 5
"""Rows that a day must have to be judged."""
LATEST = 7
"""Days that are looked at."""


@dataclass(frozen=True)
class Guarded:
    """A rule, and on how many of the latest days with enough rows its guard held."""

    rule: Rule
    days: int
    held: int

    @property
    def holds(self) -> bool:
        """Whether the cause is still there, as far as anyone can tell."""
        return 2 * self.held >= self.days

    @property
    def text(self) -> str:
        """What a run says of it."""
        place = self.rule.place
        if self.holds:
            return f"the guard of the remedy of {place} holds"
        return (
            f"the guard of the remedy of {place} fails on {self.days - self.held} of the latest {self.days} days: "
            f"the cause seems gone, and the remedy corrupts what is right. Bound its `where`, or take it out of {FILE}"
        )


def written(column: str, values: NDArray[np.float64], times: Micros, factor: float) -> str:
    """The guard for clean `values` with `times`: their daily medians, with room between them and the wrong unit's.

    The room is the cube root of the factor: a correction of right data is off by the whole of it.
    """
    known = np.isfinite(values) & (values != 0)
    day, size = times[known] // DAY, np.abs(values[known])
    numbers = [np.median(size[day == d]) for d in np.unique(day) if (day == d).sum() >= FEWEST]
    middle = numbers or [np.median(size)]
    room = max(abs(factor), 1 / abs(factor)) ** (1 / 3)
    low, high = min(middle) / room, max(middle) * room
    return f"median(abs(nullif({quoted(column)}, 0))) BETWEEN {low:.3g} AND {high:.3g}"


def check(context: Context, rules: Sequence[Rule]) -> list[Guarded]:
    """The guards of rules in force, on the rows this run reads. A guard was compiled when the project was loaded."""
    return [_check(context, rule) for rule in rules]


def _check(context: Context, rule: Rule) -> Guarded:
    definition = context.graph[rule.node]
    read, node = definition.read, definition.node
    assert read is not None
    column: Any = read[rule.column]
    known = column.notnull() & ~column.isnan() if column.type().is_floating() else column.notnull()
    rows = read.filter(condition(read, rule.where), known)
    time = node.time if isinstance(node, Source) else None
    day = read[time].truncate("D") if time else 0
    dated = rows.mutate(_day=day)
    days = dated.group_by("_day").aggregate(_held=guard(dated, rule.guard, rule.place), _rows=dated.count())
    latest = days.filter(days["_rows"] >= FEWEST).order_by(days["_day"].desc()).limit(LATEST)
    with context.session(context.graph.stored(rule.node)) as session:
        result = session.fetch(latest)
    held = [value for value in result["_held"].to_pylist() if value is not None]
    return Guarded(rule, len(held), sum(map(bool, held)))
