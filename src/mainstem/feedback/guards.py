"""Guards: tests whether a remedy's cause still exists.

A guard is an aggregate over the corrected rows of one day, such as `median(abs(nullif(dep_delay, 0))) BETWEEN 1.5 AND
31`. A single day may be unusual. If most of the latest days fail, the source has fixed the data, and the remedy
corrupts it.
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
"""The minimum number of rows of a tested day."""
LATEST = 7
"""The number of days that are tested."""


@dataclass(frozen=True)
class Guarded:
    """A rule, and the number of the latest days with enough rows on which its guard held."""

    rule: Rule
    days: int
    held: int

    @property
    def holds(self) -> bool:
        """Whether the cause still seems to exist."""
        return 2 * self.held >= self.days

    @property
    def text(self) -> str:
        """The message of a run."""
        place = self.rule.place
        if self.holds:
            return f"the guard of the remedy of {place} holds"
        return (
            f"the guard of the remedy of {place} fails on {self.days - self.held} of the latest {self.days} days: "
            f"the cause seems gone, and the remedy corrupts correct data. Limit its `where`, or remove it from {FILE}"
        )


def written(column: str, values: NDArray[np.float64], times: Micros, factor: float, offset: float = 0.0) -> str:
    """Return a guard for clean `values` with `times`: a range of their daily medians, with a margin.

    The margin is the cube root of the factor, and a third of the offset. A correction of correct data is off by all of
    both.
    """
    known = np.isfinite(values) & (values != 0)
    day, size = times[known] // DAY, np.abs(values[known])
    numbers = [np.median(size[day == d]) for d in np.unique(day) if (day == d).sum() >= FEWEST]
    middle = numbers or [np.median(size)]
    room = max(abs(factor), 1 / abs(factor)) ** (1 / 3)
    low, high = min(middle) / room - abs(offset) / 3, max(middle) * room + abs(offset) / 3
    return f"median(abs(nullif({quoted(column)}, 0))) BETWEEN {low:.3g} AND {high:.3g}"


def check(context: Context, rules: Sequence[Rule]) -> list[Guarded]:
    """Return the guards of rules in force, on this run's rows. Guards were compiled when the project was loaded."""
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
