"""Leaks, found before training: features that could not be known at the prediction time.

Features of other entities, and all windows, are looked up as of the prediction time: the join hides later rows. A
column of the example itself must be known by then by definition. Otherwise it would be present in training, where the
past is complete, and missing in production. This is decided when the project loads. If only the rows can tell, they are
checked before a model is trained.

The target of a forecast is in a later row, so the row's own value of it is a feature like any other.

A column in `assume_known` passes: the view's for a view's column, the model's for a request field. The model card
reports how often the rows contradict it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import ibis
import ibis.expr.operations as ops

from mainstem.errors import LeakError
from mainstem.features.forecasts import forecast_of
from mainstem.features.instants import to_instant, to_micros
from mainstem.features.retrieval import Computation, retrieval_of
from mainstem.features.targets import target_of
from mainstem.features.views.view import Lookup
from mainstem.graph.bounds import Bounds, bounds_of
from mainstem.graph.known import Known
from mainstem.graph.lineage import moment_of
from mainstem.graph.named import named
from mainstem.nodes.definition import Graph
from mainstem.nodes.expressions import resolve_column
from mainstem.nodes.hidden import T, visible
from mainstem.nodes.models import Model

Fetch = Callable[[ibis.Table], list[dict[str, Any]]]
"""Returns the rows of a query over stored relations."""


def check_leaks(graph: Graph, model: str) -> None:
    """Raise `LeakError` for the first model column that is not certainly known by the prediction time."""
    _Check(graph, model).run()


def check_rows(graph: Graph, model: str, fetch: Fetch) -> None:
    """Raise `LeakError` for the first undecided field that has values in labelled rows before they were known."""
    _Check(graph, model).run_on_rows(fetch)


@dataclass(frozen=True, eq=False)
class Assumed:
    """Model columns in `assume_known` that have an availability of their own.

    `query` gives one row: for each column the number of its values among the examples, and of those that are too late.
    """

    query: ibis.Table
    columns: tuple[str, ...]

    def told(self, counts: Mapping[str, int]) -> dict[str, str]:
        """Return for each contradicted column how often, given the row of `query`."""
        found = {c: (counts[f"late_{i}"], counts[f"values_{i}"]) for i, c in enumerate(self.columns)}
        return {
            c: f"by its own clock known too late in {late:,} of {values:,} examples"
            for c, (late, values) in found.items()
            if late
        }


def assumed(graph: Graph, model: str) -> Assumed | None:
    """Return the columns of `assume_known` that have an availability in the rows, or None."""
    return _Check(graph, model).assumed()


class _Column(NamedTuple):
    """A column of a model: its availability, its source columns, whether a declaration assumes it known.

    It also has the code of such a declaration.
    """

    name: str
    known: Known
    derived: tuple[str, ...]
    assumed: bool
    assume: str


class _Check:
    def __init__(self, graph: Graph, model: str) -> None:
        self.graph, self.retrieval = graph, retrieval_of(graph, model)
        self.where = graph[model].where
        node: Any = graph[model].node
        self.node: Model = node
        self.forecast = forecast_of(graph, model)
        given = () if self.forecast is None else self.forecast.fields
        self.fields = [name for name in self.retrieval.request if name not in given]
        self.examples = graph[self.retrieval.examples]
        seen = visible(self.examples.schema or {})
        self.table = ibis.table(seen, name=self.examples.name)
        timed = node.prediction_time is not None
        self.prediction = resolve_column(self.table, node.prediction_time, self.where) if timed else None
        self.moment = None if self.prediction is None else moment_of(self.prediction)

    def run(self) -> None:
        targets = self._targets()
        for column in self._columns():
            if column.assumed:
                continue
            if self.forecast is None and targets & set(column.derived):
                raise self._leak(column, "the target is computed from it")
            if self.prediction is not None:
                self._check(column, bounds_of(self.prediction))

    def run_on_rows(self, fetch: Fetch) -> None:
        undecided = {} if self.prediction is None else self._undecided(bounds_of(self.prediction))
        if not undecided:
            return
        rows = self._judged(undecided)
        late = {f"late_{n}": rows[f"_late_{n}"].sum().fill_null(0) for n in range(len(undecided))}
        (counts,) = fetch(rows.aggregate(rows=rows.count(), **late))
        for n, (column, known) in enumerate(undecided.items()):
            if counts[f"late_{n}"]:
                first = rows.filter(rows[f"_late_{n}"]).order_by(T, *self._identity()).limit(1)
                (example,) = fetch(first.select(*self._identity(), T, known=first[f"_known_{n}"]))
                raise self._late(column, known, f"{counts[f'late_{n}']:,} of {counts['rows']:,}", example)

    def _undecided(self, bounds: Bounds) -> dict[str, Known]:
        """Return fields of the examples that the model reads directly. For looked-up features, the join hides later
        values.

        The example's own key is left out if it is only used for lookups.
        """
        read = set(self.retrieval.columns)
        for action in self.retrieval.actions:
            if isinstance(action, Computation):
                read |= action.reads
            elif not self._finds_itself(action):
                read.update(action.on)
        known = {name: self.examples.known[name] for name in self.fields if name in read}
        known |= self._fitted()
        asked = {name: k for name, k in known.items() if name not in self.node.assume_known}
        return {name: k for name, k in asked.items() if bounds.after(k) == "undecided"}

    def _fitted(self) -> dict[str, Known]:
        """Return columns of the examples that a view looks up for the examples themselves, and that depend on fitted
        statistics. The join would hide them from earlier examples."""
        found: dict[str, Known] = {}
        for lookup in self.retrieval.lookups:
            source = self.graph[lookup.view.source]
            view: Any = self.graph[lookup.view.name].node
            if source is self.examples and self._finds_itself(lookup) and not lookup.view.windowed:
                names = {feature.name for feature in lookup.columns.values()} - view.assume_known.keys()
                fitted = {name: source.known[name] for name in names if name in source.known}
                found |= {name: Known(since=known.since) for name, known in fitted.items() if known.since is not None}
        return found

    def _judged(self, fields: Mapping[str, Known]) -> ibis.Table:
        """Return the labelled examples: key, `_t`, and for each field when it was known, and whether it has a value too
        early.

        A null instant means that it has not happened.
        """
        read: Any = self.examples.read
        asked = to_micros(resolve_column(read, self.node.prediction_time, self.where))
        target = target_of(read, self.node, self.where)
        columns: dict[str, Any] = {T: to_instant(asked)}
        for n, (field, known) in enumerate(fields.items()):
            at = [to_micros(read[moment.column]) + moment.offset for moment in sorted(known.moments)]
            at += [] if known.since is None else [ibis.literal(known.since, type="int64")]
            late = [(instant >= asked).fill_null(True) for instant in at]
            columns[f"_known_{n}"] = to_instant(ibis.greatest(*at) if len(at) > 1 else at[0])
            columns[f"_late_{n}"] = read[field].notnull() & ibis.or_(*late)
        labelled = ibis.literal(True) if self.forecast is not None else target.notnull()  # the label is in a later row
        rows: ibis.Table = read.filter(asked.notnull(), labelled).select(*self._identity(), *named(columns))
        return rows

    def assumed(self) -> Assumed | None:
        if self.prediction is None:
            return None
        columns = [c for c in self._columns() if c.assumed and c.known.moments and not c.known.unknown]
        known = {column.name: column.known for column in columns}
        read: Any = self.examples.read
        asked = to_micros(resolve_column(read, self.node.prediction_time, self.where))
        counts: dict[str, Any] = {}
        for number, moments in enumerate(k.moments for k in known.values()):
            at = [to_micros(read[moment.column]) + moment.offset for moment in sorted(moments)]
            latest = ibis.greatest(*at) if len(at) > 1 else at[0]
            counts |= {f"values_{number}": latest.count(), f"late_{number}": (latest >= asked).sum().fill_null(0)}
        return Assumed(read.aggregate(named(counts)), tuple(known)) if known else None

    def _columns(self) -> Iterable[_Column]:
        """Yield the model's columns that describe the example itself.

        Columns of other relations have no moment that is comparable with the examples'.
        """
        for name in self.fields:
            known, derived = self.examples.known[name], self.examples.columns.get(name, ())
            yield _Column(name, known, derived, name in self.node.assume_known, f'assume_known={{"{name}": "…"}}')
        for lookup in self.retrieval.lookups:
            yield from self._windows(lookup) if lookup.view.windowed else self._latest(lookup)

    def _windows(self, lookup: Lookup) -> Iterable[_Column]:
        for column in lookup.columns:
            yield _Column(column, _unmoved(lookup.view.known), (), False, _assume(lookup, "COLUMN"))

    def _latest(self, lookup: Lookup) -> Iterable[_Column]:
        source, own = self.graph[lookup.view.source], self._finds_itself(lookup)
        view: Any = self.graph[lookup.view.name].node
        for column, feature in lookup.columns.items():
            known = source.known.get(feature.name) or lookup.view.known
            known = known if own and source is self.examples else _unmoved(known)
            derived = source.columns.get(feature.name, ()) if own else ()
            assumed = feature.name in view.assume_known
            yield _Column(column, known, derived, assumed, _assume(lookup, feature.name))

    def _identity(self) -> tuple[str, ...]:
        return tuple(getattr(self.examples.node, "key", ()))

    def _finds_itself(self, lookup: Lookup) -> bool:
        """Return whether a view is looked up by the example's own key."""
        return bool(lookup.on) and lookup.on == self._identity()

    def _targets(self) -> set[str]:
        fields = target_of(self.table, self.node, self.where).op().find(ops.Field)
        return {source for f in fields for source in self.examples.columns.get(f.name, ())}

    def _check(self, column: _Column, bounds: Bounds) -> None:
        known = column.known
        if known.unknown:
            raise self._leak(column, f"its availability is unknown ({known.unknown})")
        known = replace(known, since=None)  # only the rows tell whether a prediction is before a fixed instant
        verdict = bounds.after(known)
        if verdict == "too late" or (verdict == "undecided" and not self._as_soon_as_the_example(known)):
            raise self._leak(column, f"it is known only at {known}")

    def _as_soon_as_the_example(self, known: Known) -> bool:
        """Return whether a value is known as soon as the example's key. Predictions before that are impossible."""
        key = Known().latest(*(self.examples.known[column] for column in self._identity()))
        offsets = {moment.column: moment.offset for moment in key.moments}
        return all(m.column in offsets and m.offset <= offsets[m.column] for m in known.moments)

    def _leak(self, column: _Column, why: str) -> LeakError:
        if self.prediction is None:
            return LeakError(
                f"{column.name!r} leaks: {why}",
                where=self.where,
                got=f"{column.name!r}, from {', '.join(column.derived)}",
                expected="features that do not depend on the target",
                hint=f"leave it out of features=[…], or say why it is known: {column.assume}",
            )
        return LeakError(
            f"{column.name!r} leaks: {why}, and the prediction is made at {self._at()}",
            where=self.where,
            got=f"{column.name!r}, known {column.known}",
            expected=f"features known before {self._at()}",
            hint=f"leave it out, use past values of it (a window over events), or say why it is known: {column.assume}",
        )

    def _late(self, column: str, known: Known, counts: str, example: Mapping[str, Any]) -> LeakError:
        row = ", ".join(f"{key} {example[key]!r}" for key in self._identity())
        when = f"known {example['known'] or 'at an unknown time'}, prediction made {example['_t']}"
        return LeakError(
            f"{column!r} leaks: in {counts} labelled examples it is not known before the prediction is made",
            where=self.where,
            got=f"{row}: {when}" if row else when,
            expected=f"{known} before {self._at()}, wherever {column!r} has a value",
            hint=_FITTED if known.since is not None else _LATE.format(column=column),
        )

    def _at(self) -> str:
        return str(self.moment) if self.moment else repr(self.node.prediction_time)


_LATE = (
    "predict later, leave those examples out, leave the column out, "
    'or say why it is known: assume_known={{"{column}": "…"}}'
)
_FITTED = (
    "statistics of a cleaning verb are known from the end of its window: fit it on an earlier window, "
    "predict later, or leave the verb out; a model imputes and scales by itself, inside each fold"
)


def _assume(lookup: Lookup, column: str) -> str:
    return f'{lookup.view.name} = ms.feature_view(…, assume_known={{"{column}": "…"}})'


def _unmoved(known: Known) -> Known:
    """Return the availability without moments: the point-in-time join handles these."""
    return Known(unknown=known.unknown)
