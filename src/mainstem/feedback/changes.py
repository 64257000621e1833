"""Changes of sources: tests of a source's own column, before it becomes a feature."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mainstem.feedback import guards
from mainstem.feedback.grid import Grid
from mainstem.feedback.onset import jumps, likeliest, onset
from mainstem.feedback.units import FEWEST, Match, match
from mainstem.monitoring.history import DAY, WEEK, Micros, stretch, stretches
from mainstem.monitoring.partition import floats, times_of
from mainstem.nodes.findings import Rule
from mainstem.nodes.instants import instant_of, micros_of
from mainstem.nodes.sources import Source
from mainstem.nodes.verbs import Rescale
from mainstem.planning.execution import Context
from mainstem.tables.conditions import instant_sql, quoted

if TYPE_CHECKING:
    from mainstem.nodes.definition import Definition

Window = tuple[datetime, datetime]
RECENT = 56 * DAY
"""How far back the reference of a source's column reaches: enough for a distribution, and short within a season."""


@dataclass(frozen=True)
class Change:
    """A changed unit of a source's column: the conversion, its start (and end), and the rule that reverses it.

    `reference` and `current` are medians of the column.
    """

    node: str
    column: str
    match: Match
    since: datetime
    until: datetime | None
    rule: Rule
    reference: float
    current: float
    rows: int

    @property
    def place(self) -> str:
        return f"{self.node}.{self.column}"

    @property
    def factor(self) -> float:
        """The factor that reverses the change."""
        return self.match.conversion.inverse()[0]


@dataclass(frozen=True)
class Series:
    """A column of a source in order of `time`: times [n] in µs, values [n] with NaN for null."""

    time: str
    times: Micros
    values: NDArray[np.float64]

    def between(self, start: int, end: int) -> Series:
        """Return the rows from `start` to `end`, both included."""
        chosen = (self.times >= start) & (self.times <= end)
        return Series(self.time, self.times[chosen], self.values[chosen])

    def without(self, windows: list[Window]) -> Series:
        """Return the rows outside some windows."""
        keep = np.ones(len(self.times), bool)
        for start, end in windows:
            keep &= (self.times < micros_of(start)) | (self.times > micros_of(end))
        return Series(self.time, self.times[keep], self.values[keep])


def series(context: Context, node: str, column: str) -> Series | None:
    """Return a source's column with remedies applied; None unless it is a number and the source has a time."""
    if node not in context.graph:
        return None
    definition = context.graph[node]
    time = _time(definition, column)
    if definition.read is None or time is None:
        return None
    read = definition.read
    query = read.filter(read[time].notnull()).select(_time=read[time], _value=read[column].cast("float64"))
    with context.session(context.graph.stored(node)) as session:
        table = session.fetch(query.order_by("_time"))
    return Series(time, times_of(table, "_time"), floats(table["_value"]))


def unit_change(node: str, column: str, rows: Series, window: Window, suspect: list[Window]) -> Change | None:
    """Return the change of a column's unit in `window`, if there is one. `suspect` windows are not used as
    a reference."""
    start, end = micros_of(window[0]), micros_of(window[1])
    span = end - start
    # A fault shortly before the first prediction would otherwise count as clean.
    past = rows.between(-(2**62), start - min(span, DAY) - 1).without(suspect)
    present = rows.between(start, end)
    if not len(past.times) or not len(present.times):
        return None
    recent = past.between(start - max(RECENT, 2 * span), start)
    if not np.isfinite(recent.values).any():
        return None
    length = stretch(span, int(np.ptp(past.times)))
    searched = rows.between(start - min(length, WEEK), end)
    found = _converted(past, recent, searched, present)
    if found is None:
        return None
    holds = onset(recent.values, searched.values, found)
    if not _begins_with_a_jump(rows.between(int(recent.times[0]), end), recent, found):
        return None
    since = instant_of(int(searched.times[holds.first]))
    until = None if holds.last is None else instant_of(int(searched.times[holds.last]))
    rule = _rule(node, column, rows.time, found, recent, since, until)
    affected = searched.values[holds.first : None if holds.last is None else holds.last + 1]
    medians = (float(np.nanmedian(recent.values)), float(np.nanmedian(affected)))
    return Change(node, column, found, since, until, rule, *medians, len(affected))


def _converted(past: Series, recent: Series, searched: Series, present: Series) -> Match | None:
    """Return the conversion of a range of the searched rows: of the clearest range, else of all present rows."""
    grid = Grid.of(recent.values)
    for holds in likeliest(recent.values, searched.values, grid):
        last = len(searched.values) if holds.last is None else holds.last + 1
        part = slice(holds.first, last)
        found = _matched(past, recent, searched.times[part], searched.values[part])
        if found is not None:
            return found
    return _matched(past, recent, present.times, present.values)


def _matched(past: Series, recent: Series, times: Micros, values: NDArray[np.float64]) -> Match | None:
    length = stretch(int(np.ptp(times)), int(np.ptp(past.times)))
    return match(recent.values, values, [past.values[part] for part in stretches(past.times, length)])


def _begins_with_a_jump(rows: Series, recent: Series, found: Match) -> bool:
    """Return whether the conversion begins at once somewhere in `rows`, which begin with clean rows."""
    first = onset(recent.values, rows.values, found).first
    before, after = rows.values[:first], rows.values[first:]
    near = [
        max(FEWEST, int(np.sum(np.abs(times - rows.times[first]) <= WEEK)))
        for times in (rows.times[:first], rows.times[first:])
    ]
    return jumps(before[-near[0] :], after[: near[1]], found)


def _rule(
    node: str, column: str, time: str, found: Match, clean: Series, since: datetime, until: datetime | None
) -> Rule:
    factor, offset = found.conversion.inverse()
    where = f"{quoted(time)} >= {instant_sql(since)}"
    if until is not None:
        where += f" AND {quoted(time)} <= {instant_sql(until)}"
    guard = guards.written(column, clean.values, clean.times, factor, offset)
    return Rule(node, Rescale(column, factor, offset), where, guard)


def _time(definition: Definition, column: str) -> str | None:
    if definition.schema is None or not isinstance(definition.node, Source):
        return None
    kind = definition.schema.get(column, "")
    numeric = kind.lstrip("!").startswith(("int", "uint", "float", "decimal"))
    return definition.node.time if numeric else None
