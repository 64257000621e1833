"""Forecasts: each row of the examples and each horizon is an example, whose label is the target of a later row.

The row of an example is the present: `time + horizon` is forecast from it. Features are looked up at its prediction
time. No horizon ends before that time, so features cannot contain the label. The horizon, and the calendar of the time
that is forecast, are known in advance: they are inputs.

One model learns all horizons. Rejected: to forecast one step and to read that forecast back for the next. Errors add
up, and views have no features of times to come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from math import gcd
from typing import Any

import ibis
import ibis.expr.operations as ops
from ibis import _

from mainstem.errors import DefinitionError, ModelError, SchemaError, UnknownName
from mainstem.features.instants import to_instant, to_micros
from mainstem.features.targets import target_of
from mainstem.graph.bounds import bounds_of
from mainstem.graph.known import Moment
from mainstem.graph.named import named
from mainstem.graph.units import DAY, WEEK
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.durations import microseconds
from mainstem.nodes.expressions import resolve_column
from mainstem.nodes.features import OnDemand
from mainstem.nodes.forecasts import FOR, HORIZON
from mainstem.nodes.hidden import LAST, SEASON, TARGET, visible
from mainstem.nodes.instants import INSTANT, micros_of
from mainstem.nodes.models import CLASSES, Model, Task
from mainstem.nodes.records import now

Fetch = Callable[[ibis.Table], list[dict[str, Any]]]

_AHEAD, _AT = "_ahead", "_at"


@dataclass(frozen=True)
class Forecast:
    """What a model forecasts. `horizons` maps each as it is written to microseconds, the nearest first.

    `time` is the column of the examples that horizons count from, and `offset` (µs) how much later the prediction is
    made. `type` is the Ibis type of `FOR`: a date, or an instant.
    """

    horizons: Mapping[str, int]
    series: tuple[str, ...]
    time: str
    type: str
    offset: int

    @property
    def fields(self) -> dict[str, str]:
        """The columns of an example that its row does not have, with Ibis types."""
        return {HORIZON: "float64", FOR: self.type}

    @property
    def filled(self) -> frozenset[str]:
        """The request fields that a server fills in."""
        return frozenset({HORIZON, FOR, self.time})

    @property
    def whole_days(self) -> bool:
        return not reduce(gcd, self.horizons.values()) % DAY

    def calendar(self, origin: Any, *, year: bool = False) -> OnDemand:
        """Return the calendar of the time that is forecast, as on-demand features; with the `year` for holidays."""
        at = _[FOR]
        parts = {"month": at.month(), "day": at.day(), "weekday": at.day_of_week.index()}
        parts |= {} if self.whole_days else {"hour": at.hour()}
        parts |= {"year": at.year()} if year else {}
        return OnDemand(features={f"{FOR}__{part}": value for part, value in parts.items()}, origin=origin)

    def ahead(self, rows: ibis.Table) -> ibis.Table:
        """Return each of the `rows` once for each horizon, with `fields`."""
        every = rows.mutate(
            **{_AHEAD: ibis.array(list(self.horizons.values())).unnest(), _AT: to_micros(rows[self.time])}
        )
        time = to_instant(every[_AT] + every[_AHEAD])
        return every.mutate(
            **{
                HORIZON: every[_AHEAD].cast("float64") / float(DAY),
                FOR: time.cast("date") if self.type == "date" else time,
            }
        )

    def written(self, every: ibis.Table) -> Any:
        """Return the horizon of each row of `ahead` as it is written, such as `7d`."""
        return every[_AHEAD].cases(*((length, text) for text, length in self.horizons.items()))

    def examples(self, rows: ibis.Table, target: Any) -> ibis.Table:
        """Return the rows of `ahead` with `TARGET` and past values.

        `target` is the target of a row, null if it is not known yet. `LAST` is that of the example's own row, `SEASON`
        that of the row whole weeks before the time that is forecast.
        """
        keys = {f"_of_{column}": rows[column] for column in self.series}
        labels = rows.select(*named(keys), _of_time=to_micros(rows[self.time]), _value=target)
        every = self.ahead(rows)
        ahead = every[_AHEAD]
        at = every[_AT] + ahead
        every = every.mutate(
            **{
                f"_at{TARGET}": at,
                f"_at{LAST}": every[_AT],
                f"_at{SEASON}": at - (ahead + WEEK - 1) // WEEK * WEEK,
            }
        )
        for name in (TARGET, LAST, SEASON):
            every = self._beside(every, labels, name)
        return every.select(*rows.columns, *self.fields, TARGET, LAST, SEASON)

    def _beside(self, every: ibis.Table, labels: ibis.Table, name: str) -> ibis.Table:
        """Return rows with the label at the time `_at` of a name, as the column `name`."""
        # Each join has a relation of its own: ibis cannot tell the sides of a repeated one apart.
        labels = labels.rename({f"{column}{name}": column for column in labels.columns})
        same = [every[column] == labels[f"_of_{column}{name}"] for column in self.series]
        joined = every.left_join(labels, [*same, every[f"_at{name}"] == labels[f"_of_time{name}"]])
        return joined.select(*every.columns, *named({name: labels[f"_value{name}"]}))


def forecast_of(graph: Graph, model: str) -> Forecast | None:
    """Return what a model forecasts; None without `horizons`.

    Raises `UnknownName` for a series that is not a column, `SchemaError` for columns that have the names of an
    example's own, and `DefinitionError` for a prediction time that is not that of the row plus a duration.
    """
    node: Any = graph[model].node
    return forecast_in(node, graph[graph.name_of(node.examples)]) if node.horizons else None


def forecast_in(node: Model, examples: Definition) -> Forecast:
    """Return what a model with `horizons` forecasts, of its `examples`. Raises as `forecast_of` does."""
    schema = visible(examples.schema or {})
    for column in node.series:
        if column not in schema:
            raise UnknownName.among("column", column, schema, of="`series`")
    for column in (HORIZON, FOR):
        if column in schema:
            hint = "give the column of the examples another name"
            raise SchemaError(f"examples of a forecast have a column {column!r} of their own", hint=hint)
    time, offset = _time_of(node, ibis.table(schema, name=examples.name))
    kind = "date" if ibis.dtype(schema[time]).is_date() else INSTANT
    return Forecast({each: microseconds(each) for each in node.horizons}, node.series, time, kind, offset)


def _time_of(node: Model, rows: ibis.Table) -> tuple[str, int]:
    """Return the column that the prediction time is computed from, and the duration between them (µs).

    It need not be the `time` of the examples: that of a day's total is when the day is over.
    """
    bounds = bounds_of(resolve_column(rows, node.prediction_time))
    moment = bounds.latest
    if moment is None or moment != bounds.earliest:
        raise DefinitionError(
            "a forecast is made a fixed duration after the time of its row",
            got=f"prediction_time={node.prediction_time!r}",
            expected="a column, perhaps plus or minus a duration",
            hint="prediction_time=_.day + ibis.interval(days=1)",
        )
    return moment.column, moment.offset


def check_forecast(graph: Graph, name: str, task: Task) -> None:
    """Refuse horizons that a model cannot have. Raises `DefinitionError`, and as `forecast_of` does."""
    found = forecast_of(graph, name)
    if found is None:
        return
    if task in CLASSES or task == "ranking":
        raise DefinitionError(
            "`horizons` require a target that is a number",
            got=f"{name!r} is {task}",
            expected='a number: regression, task="count" or quantiles=[…]',
        )
    written, nearest = next(iter(found.horizons.items()))
    if nearest < found.offset:
        raise DefinitionError(
            f"the horizon {written!r} is over when the prediction is made",
            got=f"a prediction at {Moment(found.time, found.offset)}",
            expected=f"a prediction at most {written} after {found.time!r}",
            hint="a longer horizon: it counts from the time of the row, not from the prediction",
        )
    if found.type == "date" and not found.whole_days:
        raise DefinitionError(
            "horizons of dates must be whole days",
            got=", ".join(found.horizons),
            expected=f"whole days, because {found.time!r} is a date",
        )


def known_by_now(graph: Graph, model: str, forecast: Forecast, rows: ibis.Table, value: Any) -> Any:
    """Return a value of each row, or null where the target is not known by now: as declarations say, and not before the
    prediction time of the row.

    Before that, the row of a period that is not over may have a part of its total.
    """
    node: Any = graph[model].node
    examples = graph[graph.name_of(node.examples)]
    read = {field.name for field in target_of(rows, node, graph[model].where).op().find(ops.Field)}
    moments = {moment for name in read & examples.known.keys() for moment in examples.known[name].moments}
    moments |= {Moment(forecast.time, forecast.offset)}
    present = micros_of(now())
    known = [to_micros(rows[m.column]) + m.offset <= present for m in sorted(moments) if m.column in rows.columns]
    return ibis.and_(*known).ifelse(value, ibis.null(value.type()))


def check_series(graph: Graph, model: str, fetch: Fetch) -> None:
    """Refuse rows of which a series has several at one time. Raises `ModelError`: either could be the label."""
    found = forecast_of(graph, model)
    if found is None:
        return
    rows: Any = graph[graph.name_of(graph[model].node.examples)].read  # type: ignore[attr-defined]
    keys = [*found.series, found.time]
    counted = rows.filter([rows[key].notnull() for key in keys]).group_by(keys).aggregate(_rows=_.count())
    several = counted.filter(counted["_rows"] > 1)
    (total,) = fetch(several.aggregate(times=several.count()))
    if not total["times"]:
        return
    (first,) = fetch(several.order_by(keys).limit(1))
    raise ModelError(
        "a series has several rows at one time",
        got=f"{', '.join(f'{key} {first[key]}' for key in keys)}: {first['_rows']} rows; {total['times']:,} such times",
        expected="one row for each series and time",
        hint="series= of the columns that tell series apart" if not found.series else "sum them in a table",
    )
