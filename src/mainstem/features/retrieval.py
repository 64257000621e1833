"""The feature plan of a model: an ordered list of lookups and computations, from a request or from an example.

The dataset runs it over tables, the server over single rows, and parity over logged reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any
from weakref import WeakKeyDictionary

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
from ibis import _

from mainstem.errors import SchemaError, UnknownName
from mainstem.features.forecasts import Forecast, forecast_of
from mainstem.features.rowwise.on_demand import RowFunction, compile_on_demand
from mainstem.features.views.compile import compile_view
from mainstem.features.views.using import earlier, lookups
from mainstem.features.views.view import CompiledView, Lookup
from mainstem.graph.fingerprint import canonical, digest, of_expression
from mainstem.nodes.definition import Graph
from mainstem.nodes.engineering import only_for_holidays
from mainstem.nodes.expressions import names_in, resolve_column
from mainstem.nodes.features import AllColumns, FeatureUse, FeatureView, OnDemand, ViewUse, use
from mainstem.nodes.forecasts import HORIZON
from mainstem.nodes.hidden import visible, visible_names
from mainstem.nodes.outcomes import condition_of

TIME = "time"
"""The reserved name of the option with which a request sets the time of its prediction."""


@dataclass(frozen=True, eq=False)
class Computation:
    """On-demand features, and the types of the earlier columns that they may read."""

    node: OnDemand
    inputs: Mapping[str, str]

    @cached_property
    def resolved(self) -> Mapping[str, ibis.Value]:
        """The features over a table of the columns that they read."""
        row = ibis.table(self.inputs, name="row")
        return {name: resolve_column(row, value) for name, value in self.node.features.items()}

    @cached_property
    def reads(self) -> frozenset[str]:
        """The columns that the features read, also those of Python functions."""
        return frozenset(found.name for each in self.resolved.values() for found in each.op().find(ops.Field))

    @cached_property
    def meanings(self) -> Mapping[str, str]:
        """A hash of each feature's definition. Other columns that the features could read do not count."""
        row = ibis.table({name: kind for name, kind in self.inputs.items() if name in self.reads}, name="row")
        return {name: of_expression(resolve_column(row, value)) for name, value in self.node.features.items()}

    @cached_property
    def function(self) -> RowFunction:
        return compile_on_demand(self.node.features, self.inputs)


@dataclass(frozen=True, eq=False)
class Retrieval:
    """The actions that lead from a request to the model's inputs.

    `actions` run in order. Each reads the request and the results of earlier actions. `request` maps the fields of a
    request to Ibis types, `columns` the model's columns in order. A name may be in both.
    """

    model: str
    examples: str
    actions: tuple[Lookup | Computation, ...]
    request: Mapping[str, str]
    columns: Mapping[str, str]

    @property
    def lookups(self) -> tuple[Lookup, ...]:
        return tuple(action for action in self.actions if isinstance(action, Lookup))

    @cached_property
    def rounds(self) -> tuple[Sequence[Lookup] | Computation, ...]:
        """The steps, with consecutive independent lookups grouped."""
        rounds: list[list[Lookup] | Computation] = []
        for action in self.actions:
            last = rounds[-1] if rounds else None
            if isinstance(action, Computation):
                rounds.append(action)
            elif isinstance(last, list) and not any(lookup.columns.keys() & set(action.on) for lookup in last):
                last.append(action)
            else:
                rounds.append([action])
        return tuple(rounds)


_VIEWS: WeakKeyDictionary[Graph, dict[str, CompiledView]] = WeakKeyDictionary()
_RETRIEVALS: WeakKeyDictionary[Graph, dict[str, Retrieval]] = WeakKeyDictionary()


def meanings(graph: Graph, model: str) -> dict[str, str]:
    """Return a hash of the definition of each feature: of one that a model looks up, with its source's, by
    `view.feature`, and of one that is computed on demand by its name."""
    retrieval = retrieval_of(graph, model)
    views = {lookup.view.name: lookup.view for lookup in retrieval.lookups}
    computed = (action.meanings for action in retrieval.actions if isinstance(action, Computation))
    found = {name: meaning for each in computed for name, meaning in each.items()}
    return found | {
        f"{view.name}.{feature.name}": digest(view.meaning(feature), graph[view.source].fingerprint)
        for view in views.values()
        for feature in view.features
    }


def meaning(graph: Graph, model: str) -> str:
    """Return one hash of the definitions of all features of a model."""
    return digest(canonical(meanings(graph, model)))


def compiled(graph: Graph, view: str) -> CompiledView:
    """Return the normal form of a view of the graph."""
    views = _VIEWS.setdefault(graph, {})
    if view not in views:
        node: Any = graph[view].node
        source = graph[graph.name_of(node.source)]
        using = partial(lookups, node, name_of=graph.name_of, compiled=partial(compiled, graph))
        views[view] = compile_view(node, view, source, using)
    return views[view]


def check_assumed(graph: Graph, model: str) -> None:
    """Refuse a name in a model's `assume_known` that is neither a column of the examples nor a feature of the model.

    Raises `UnknownName`.
    """
    node: Any = graph[model].node
    retrieval = retrieval_of(graph, model)
    examples = graph[retrieval.examples].schema or {}
    columns = {*visible_names(examples), *retrieval.columns}
    for column in node.assume_known:
        if column not in columns:
            raise UnknownName.among("column", column, columns, of="assume_known")


def retrieval_of(graph: Graph, model: str) -> Retrieval:
    """Return the retrieval of a model. Raises `UnknownName` or `SchemaError` for an unknown key or field."""
    found = _RETRIEVALS.setdefault(graph, {})
    if model not in found:
        node: Any = graph[model].node
        found[model] = _Finder.of(graph, model).retrieval(node.features)
    return found[model]


def beyond(known: Retrieval, wanted: Retrieval) -> Retrieval:
    """Return the part of `wanted` that must be computed for rows that have the request and the results of `known`.

    Both are of one graph, and their requests have the same rows. A lookup of the same view by the same columns is not
    made again.
    """
    same, left = {*known.request}, list[Lookup | Computation]()
    for action in wanted.actions:
        brought = set(action.columns if isinstance(action, Lookup) else action.node.features)
        if _is_known(action, known, same):
            same |= brought
        else:
            left.append(action)
            same -= brought
    return replace(wanted, actions=tuple(left))


def _is_known(action: Lookup | Computation, known: Retrieval, same: set[str]) -> bool:
    if isinstance(action, Computation):
        alike = any(isinstance(other, Computation) and other.node is action.node for other in known.actions)
        return alike and action.reads <= same
    return set(action.on) <= same and any(
        (other.view.name, other.on, other.prefix) == (action.view.name, action.on, action.prefix)
        for other in known.lookups
    )


def retrieval_for(graph: Graph, features: Sequence[FeatureUse], schema: Mapping[str, str], rows: str) -> Retrieval:
    """Return the retrieval of features for rows that are not a node's. `rows` is their name in messages.

    `schema` maps their columns to Ibis types. Raises as `retrieval_of` does.
    """
    return _Finder(graph, "", rows, schema).retrieval(features, lists=True)


@dataclass
class _Finder:
    graph: Graph
    model: str
    examples: str
    schema: Mapping[str, str]
    forecast: Forecast | None = None
    actions: list[Lookup | Computation] = field(default_factory=list)
    request: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph, model: str) -> _Finder:
        node: Any = graph[model].node
        examples = graph[graph.name_of(node.examples)]
        forecast = forecast_of(graph, model)
        more = {} if forecast is None else forecast.fields
        return cls(graph, model, examples.name, {**visible(examples.schema or {}), **more}, forecast)

    def retrieval(self, features: Sequence[Any], *, lists: bool = False) -> Retrieval:
        if self.forecast is not None:
            self._bring_horizon(self.forecast)
        for feature in features:
            match feature:
                case str():
                    self._bring_field(feature)
                case AllColumns():
                    for name in self._learnable():
                        self._bring_field(name)
                case OnDemand():
                    self._compute(feature)
                case _:
                    used = use(feature)
                    self._look_up(self.graph.name_of(used.view), used)
        if not lists:
            self._no_lists()
            self._bring_parts()
        return Retrieval(self.model, self.examples, tuple(self.actions), self.request, self.columns)

    def _bring_horizon(self, forecast: Forecast) -> None:
        """Bring the horizon, and the calendar of the time that is forecast. A request names its series."""
        for name in forecast.series:
            self._field(name)
        self._bring_field(HORIZON)
        node: Any = self.graph[self.model].node
        self._compute(forecast.calendar(node.origin, year=bool(only_for_holidays(node.engineer or ()))))

    def _bring_field(self, name: str) -> None:
        """Bring a field of the request. A date or an instant brings its parts."""
        if _has_parts(ibis.dtype(self._field(name))):
            self._bring_parts_of(name, self.request[name])
        else:
            self._brings(name, self.request[name], "two features")

    def _bring_parts(self) -> None:
        """Bring the parts of dates and instants that no on-demand feature reads: a model cannot learn from them as they
        are."""
        computed = [action for action in self.actions if isinstance(action, Computation)]
        read = frozenset[str]().union(*(action.reads for action in computed))
        for name, kind in tuple(self.columns.items()):
            if _has_parts(ibis.dtype(kind)) and name not in read:
                self._bring_parts_of(name, kind)

    def _bring_parts_of(self, name: str, kind: str) -> None:
        dtype = ibis.dtype(kind)
        if not (dtype.is_date() or dtype.is_timestamp()):
            what, hint = _UNLEARNABLE["duration" if dtype.is_interval() else "time of day"]
            raise SchemaError(
                f"{what} cannot be a feature: {name!r}",
                got=kind,
                expected="a number, a truth value, a text, a date or an instant",
                hint=hint.format(name),
            )
        origin = self.graph[self.model].node.origin
        self._compute(OnDemand(features=_parts(name, dtype.is_timestamp()), origin=origin))

    def _learnable(self) -> list[str]:
        """Return the columns of the examples but the key, and those that the model reads for something else.

        The time of a prediction is not an input: its year and month in training are not those of requests.
        """
        node: Any = self.graph[self.model].node
        table = ibis.table(self.schema, name=self.examples)
        given = [
            value
            for value in (
                condition_of(node.target),
                node.prediction_time,
                node.groups,
                node.split,
                node.weight,
                node.query,
            )
            if value is not None
        ]
        read = {f.name for value in given for f in resolve_column(table, value).op().find(ops.Field)}
        key = getattr(self.graph[self.examples].node, "key", ())
        filled = () if self.forecast is None else self.forecast.filled
        return [name for name in table.columns if name not in {*read, *key, *filled}]

    def _look_up(self, name: str, used: ViewUse) -> None:
        view = compiled(self.graph, name)
        on = tuple(self._key(column, kind, name) for column, kind in zip(used.on, view.key.values(), strict=True))
        action = Lookup(view, on, used.prefix(name))
        self.actions.append(action)
        for column, feature in action.columns.items():
            self._brings(column, feature.type, f"two uses of {name!r}")

    def _compute(self, feature: OnDemand) -> None:
        for value in feature.features.values():
            for name in sorted(names_in(value) - set(self.columns)):
                self._field(name)
        inputs = {**self.request, **self.columns}
        types = ibis.table(inputs, name="row")
        action = Computation(feature, inputs)
        self.actions.append(action)
        for name, kind in _types(action, types).items():
            self._brings(name, kind, "two features")

    def _no_lists(self) -> None:
        """Refuse lists as inputs of a model. Only on-demand features can read them."""
        computed = [
            value
            for action in self.actions
            if isinstance(action, Computation)
            for value in action.node.features.values()
        ]
        read = {name for value in computed for name in names_in(value)}
        for column, kind in self.columns.items():
            if kind.startswith("array<") and column not in read:
                raise SchemaError(
                    f"a list cannot be a model input, and no on-demand feature reads {column!r}",
                    got=kind,
                    expected="numbers and texts",
                    hint=f"ms.on_demand(newest=_.{column}[0], how_many=_.{column}.length())",
                )

    def _key(self, column: str, kind: str, view: str) -> str:
        """Return the column that holds a key's value: an earlier model column, or else a field of the request."""
        looked_up = [name for each in self.actions if isinstance(each, Lookup) for name in each.columns]
        brought = earlier(column, view, [name for name in self.columns if name == column or name in looked_up])
        found = brought or column
        given = self.columns[found] if brought else self._field(column)
        if given != kind:
            raise SchemaError(f"{found!r} has the wrong type for the key of {view!r}", got=given, expected=kind)
        return found

    def _field(self, name: str) -> str:
        """Return the type of a request field, which is a column of the examples offline."""
        schema = self.schema
        if self.model and name not in schema and name in self.graph.of(FeatureView):
            raise UnknownName(
                f"unknown column {name!r} in the examples",
                got=f"{name!r}, the name of a feature view",
                expected="the view itself: a text in features= is a field of the request",
                hint=f"features=[{name}], without quotes",
            )
        if name not in schema:
            of = "the examples and earlier features" if self.model else self.examples
            raise UnknownName.among("column", name, [*schema, *self.columns], of=of)
        if name == TIME:
            raise SchemaError("a request field cannot have the name 'time', which sets the time of the prediction")
        self.request.setdefault(name, plain(schema[name]))
        return self.request[name]

    def _brings(self, column: str, kind: str, what: str) -> None:
        if column in self.columns:
            raise SchemaError(f"{what} have the name {column!r}", hint=".on(…) gives a use of a view its own name")
        self.columns[column] = kind


def _has_parts(dtype: dt.DataType) -> bool:
    """Return whether a model cannot learn from values as they are, but perhaps from their parts."""
    return bool(dtype.is_temporal() or dtype.is_interval())


_UNLEARNABLE = {
    "duration": ("a duration", "its seconds: {0}=_.end.epoch_seconds() - _.start.epoch_seconds()"),
    "time of day": ("a time of day", "its minutes, in a table of the rows: _.{0}.hour() * 60 + _.{0}.minute()"),
}


def _parts(name: str, instant: bool) -> dict[str, Any]:
    """Return the parts of a date or an instant as on-demand features."""
    column = _[name]
    found = {"year": column.year(), "month": column.month(), "day": column.day(), "weekday": column.day_of_week.index()}
    hour = {"hour": column.hour()} if instant else {}
    return {f"{name}__{part}": value for part, value in (found | hour).items()}


def _types(action: Computation, row: ibis.Table) -> dict[str, str]:
    from mainstem.features.rowwise.on_demand import expressions

    return {name: str(value.type()) for name, value in expressions(action.node.features, row).items()}


def plain(kind: str) -> str:
    """Return a column's type as a feature."""
    dtype = ibis.dtype(kind)
    if dtype.is_integer():
        return "int64"
    return "float64" if dtype.is_floating() or dtype.is_decimal() else str(dtype.copy(nullable=True))
