"""How long the labels of a model take: the gap that splits by time leave out, and why it is that long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.operations as ops

from mainstem.errors import DefinitionError
from mainstem.features.forecasts import forecast_of
from mainstem.features.instants import to_instant, to_micros
from mainstem.features.targets import target_of
from mainstem.graph.bounds import bounds_of
from mainstem.graph.known import Moment
from mainstem.graph.units import DAY
from mainstem.nodes.definition import Graph
from mainstem.nodes.durations import microseconds
from mainstem.nodes.expressions import resolve_column
from mainstem.nodes.models import Model
from mainstem.nodes.outcomes import Outcome


@dataclass(frozen=True)
class Gap:
    """A gap of `length`, which is as long as labels take, and `why`.

    `late` are the moments of the target that only the rows tell: columns that the prediction time does not count from.
    """

    length: str
    why: str
    late: tuple[Moment, ...] = ()

    def __str__(self) -> str:
        return f"{self.length}: {self.why}"


def gap_of(graph: Graph, name: str) -> Gap:
    """Return the gap of a model. Raises `DefinitionError` for a declared one that is shorter than its labels take.

    A label that is known at the prediction time plus at most a constant takes that constant, in whole days. The label
    of a forecast is in a later row, and the moments of that row are not looked up.
    """
    node: Any = graph[name].node
    if node.prediction_time is None:
        return Gap(node.gap, "not used without `prediction_time`")
    least, why, late = _labels(graph, name)
    if node.gap_declared and microseconds(node.gap) < least:
        raise DefinitionError(
            "`gap` is shorter than labels take: training would have labels that were unknown when the test began",
            got=f'gap="{node.gap}"',
            expected=f'at least "{_days(least)}": {why}',
            hint="leave out `gap`",
        )
    late = () if node.horizons or isinstance(node.target, Outcome) else late
    if microseconds(node.gap) < least:
        return Gap(_days(least), why, late)
    return Gap(node.gap, _declared(node), late)


def known_at(rows: ibis.Table, gap: Gap) -> ibis.Value | None:
    """Return the latest of the moments that only the rows tell; None without any."""
    at = [to_micros(rows[moment.column]) + moment.offset for moment in gap.late]
    if not at:
        return None
    return to_instant(ibis.greatest(*at) if len(at) > 1 else at[0])


def _labels(graph: Graph, name: str) -> tuple[int, str, tuple[Moment, ...]]:
    """Return how long labels take by definition (µs), by which column, and the moments that definitions do not tell."""
    node: Any = graph[name].node
    examples = graph[graph.name_of(node.examples)]
    rows = ibis.table(dict(examples.schema or {}), name=examples.name)
    asked = bounds_of(resolve_column(rows, node.prediction_time)).earliest
    ahead = 0 if (forecast := forecast_of(graph, name)) is None else max(forecast.horizons.values())
    read = {field.name for field in target_of(rows, node, graph[name].where).op().find(ops.Field)}
    found, late = [(0, "")], set[Moment]()
    for column in sorted(read & examples.known.keys()):
        for moment in examples.known[column].moments:
            if asked is not None and moment.column == asked.column:
                later = " of the row that is forecast" if ahead else ""
                found.append((moment.offset - asked.offset + ahead, f"`{column}` is known at {moment}{later}"))
            elif moment.column in rows.columns:
                late.add(moment)
    return *max(found), tuple(sorted(late))


def _days(micros: int) -> str:
    """Return a duration as users write it, rounded up to whole days."""
    return f"{-(-micros // DAY)}d"


def _declared(node: Model) -> str:
    if node.gap_declared:
        return "as declared"
    if node.horizons:
        return "the longest horizon"
    return "as long as the outcome takes" if isinstance(node.target, Outcome) else "the default"
