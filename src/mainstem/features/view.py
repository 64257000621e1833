"""A feature view in its normal form: one relation of events, and features over its columns.

The events of a view are an unbound Ibis table with the columns

    the key columns
    _u         int64   when the row became usable: the latest `known` of the columns the view reads, in µs
    _arrived   int64   when it reached us (streams only), µs
    _gone      int64   when word reached us that it was corrected or deleted, else null (streams of changes only), µs
    _order     the `order_by` column, a null as the smallest value (views with `order_by` only)
    _seq       int64   the order of landing, -1 where there is none (sources with a time only)
    _a0, _a1…  one per distinct argument: int64 (instants in µs), float64 (NaN is null), boolean or string

Every interpreter starts from here; none looks at what the user wrote again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any

import ibis
import ibis.expr.operations as ops

from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.features.algebra import Aggregation
from mainstem.features.instants import ALWAYS, INSTANT, to_micros
from mainstem.features.on_demand import RowFunction, expressions
from mainstem.features.reductions import Reduction, read_reductions
from mainstem.features.windows import Window
from mainstem.graph.fingerprint import canonical, digest, of_expression
from mainstem.graph.known import ALWAYS as ALWAYS_KNOWN
from mainstem.graph.known import Known
from mainstem.nodes.definition import Definition
from mainstem.nodes.durations import microseconds
from mainstem.nodes.features import FeatureView

_KEYS = ("int64", "string", "boolean", INSTANT)
NULL_INT = -(2**63)
"""The smallest int64 counts as null: it is what the online state keeps for one."""

SMALLEST: Mapping[str, Any] = {"int64": NULL_INT, "float64": float("-inf"), "string": "", "boolean": False}
"""By type, what a null in `order_by` counts as."""


@dataclass(frozen=True)
class Feature:
    """One feature: `aggregation` of the column `argument` over `window`, or its latest value (both None).

    Without an `argument` it is of the rows themselves; `by` is a second one. `type` is the value's Ibis type.
    """

    name: str
    type: str
    argument: str | None
    aggregation: Aggregation | None = None
    window: Window | None = None
    by: str | None = None

    @property
    def kind(self) -> Aggregation:
        """The aggregation of a feature over a window."""
        assert self.aggregation is not None
        return self.aggregation

    @property
    def arguments(self) -> tuple[str, ...]:
        """The columns it is made of."""
        return tuple(column for column in (self.argument, self.by) if column is not None)


@dataclass(frozen=True, eq=False)
class CompiledView:
    """A feature view, typed and in its normal form; see the module for the columns of `events`.

    `key` and `arguments` map columns to Ibis types, `order` is the type of `_order`; `rows` are the arguments as
    expressions over `inputs`, the source's own rows, for events that come one by one. Times are in µs.
    """

    name: str
    source: str
    key: Mapping[str, str]
    features: tuple[Feature, ...]
    events: ibis.Table
    arguments: Mapping[str, str]
    rows: Mapping[str, ibis.Value]
    inputs: Mapping[str, str]
    known: Known
    order_by: str | None
    order: str | None
    arrives: bool
    retracts: bool
    sequenced: bool
    ttl: int | None
    inclusive: bool
    grace: int
    grace_text: str
    fingerprint: str

    @property
    def schema(self) -> dict[str, str]:
        """Feature → Ibis type."""
        return {feature.name: feature.type for feature in self.features}

    def as_known(self) -> CompiledView:
        """The view of what is known now, whenever that came to be known."""
        if not self.retracts:
            return self
        return replace(self, events=self.events.filter(self.events["_gone"].isnull()), retracts=False)

    @property
    def windowed(self) -> bool:
        return bool(self.windows)

    @cached_property
    def windows(self) -> dict[Window, tuple[Feature, ...]]:
        """The features by window."""
        distinct = dict.fromkeys(f.window for f in self.features if f.window is not None)
        return {window: tuple(f for f in self.features if f.window == window) for window in distinct}

    @cached_property
    def reach(self) -> int:
        """How long before a query the events can be that it sees; 0 for a latest view, which is not bounded so."""
        return max((window.reach for window in self.windows), default=0)

    @cached_property
    def position(self) -> tuple[str, ...]:
        """The columns of events that order them; what is still tied is decided by the values."""
        return ("_u", *(["_order"] if self.order else []), *(["_seq"] if self.sequenced else []))

    @cached_property
    def row_function(self) -> RowFunction:
        """The arguments as a function of one row of the source."""
        return RowFunction(self.rows, self.inputs)


def compile_view(node: FeatureView, name: str, source: Definition, assumed: Iterable[str] = ()) -> CompiledView:
    """Check a view against its source and bring it to its normal form. No data is read.

    Columns of the source in `assumed` count as always known. Raises `DefinitionError`, `SchemaError` for a type or a
    reduction that does not fit, `UnknownName` for a column that is not there.
    """
    return _Compiler(node, name, source, frozenset(assumed)).compile()


class _Compiler:
    def __init__(self, node: FeatureView, name: str, source: Definition, assumed: frozenset[str]) -> None:
        if source.events is None:
            raise DefinitionError(f"{source.name!r} is not a relation", where=f"{name} ({node.origin})")
        self.node, self.name, self.source = node, name, source
        self.where = f"{name} ({node.origin})"
        self.read = source.events
        self.assumed = assumed
        self.inputs = {c: str(t) for c, t in self.read.schema().items() if not c.startswith("_")}
        self.rows = ibis.table(self.read.schema(), name=source.name)
        self.visible = ibis.table(self.inputs, name="row")
        self.arguments: dict[str, ibis.Value] = {}

    def compile(self) -> CompiledView:
        node = self.node
        key = {column: self._key_type(column) for column in node.key}
        order = None if node.order_by is None else self._order_type(node.order_by)
        features = self._windowed() if node.features else self._latest()
        known = self._known([*node.key, *([node.order_by] if node.order_by else [])])
        if node.features and not known.moments:
            raise DefinitionError(
                "a window needs a time",
                where=self.where,
                got=f"{self.source.name!r}, known {known}",
                expected="a source with time= or known=",
            )
        events = self._events(key, order, known)
        replaced: ibis.Table = events.op().replace({self.rows.op(): self.read.op()}).to_expr()
        return CompiledView(
            name=self.name,
            source=self.source.name,
            key=key,
            features=features,
            events=replaced,
            arguments={a: _stored(str(v.type())) for a, v in self.arguments.items()},
            rows=self.arguments,
            inputs=self.inputs,
            known=known,
            order_by=node.order_by,
            order=order,
            arrives="_arrived" in self.read.columns,
            retracts="_gone" in self.read.columns,
            sequenced="_seq" in self.read.columns,
            ttl=None if node.ttl is None else microseconds(node.ttl, self.where),
            inclusive=node.closed == "both",
            grace=microseconds(node.grace, self.where),
            grace_text=node.grace,
            fingerprint=self._fingerprint(events, features),
        )

    # ── features and their arguments ─────────────────────────────────────────────────────────────────

    def _latest(self) -> tuple[Feature, ...]:
        return tuple(self._latest_column(column) for column in self.node.columns)

    def _latest_column(self, column: str) -> Feature:
        if column not in self.inputs:
            raise UnknownName.among("column", column, self.inputs, where=self.where)
        argument, kind = self._argument(self.visible[column], column)
        return Feature(column, kind, argument)

    def _windowed(self) -> tuple[Feature, ...]:
        read = [
            reduction
            for name, value in self.node.features.items()
            for reduction in read_reductions(self.visible, name, value, self.node.windows, self._at(name))
        ]
        typed = [(reduction, *self._typed(reduction)) for reduction in read]
        texts = dict.fromkeys(text for text in (*self.node.windows, *(t for r in read for t in r.windows)))
        windows = {text: Window.parse(text, self.node.resolution, self.where) for text in texts}
        found = tuple(
            Feature(f"{reduction.name}_{text}", kind, argument, reduction.aggregation, window, by)
            for text, window in windows.items()
            for reduction, argument, by, kind in typed
            if text in reduction.windows
        )
        self._distinct(feature.name for feature in found)
        return found

    def _typed(self, reduction: Reduction) -> tuple[str | None, str | None, str]:
        """The columns of the arguments and the feature's type."""
        value, by, condition, kind = reduction.argument, reduction.by, reduction.where, reduction.aggregation
        self._asked(reduction)
        if value is None and condition is None:
            return None, None, kind.type("boolean")
        value = ibis.literal(True) if value is None else value
        if value.type().is_boolean() and "boolean" not in kind.takes:
            value = value.cast("int64")
        if by is not None:
            condition = _present(by) if condition is None else condition & _present(by)
        if condition is not None:
            value = condition.ifelse(value, ibis.null(value.type()))
        argument, logical = self._argument(value, reduction.name)
        if logical not in kind.takes:
            raise SchemaError(
                f"{kind.name} does not take {logical}",
                where=self._at(reduction.name),
                expected=", ".join(sorted(kind.takes)),
            )
        return argument, None if by is None else self._argument(by, reduction.name)[0], kind.type(logical)

    def _asked(self, reduction: Reduction) -> None:
        """Refuse an aggregation with an argument missing, or one too many."""
        kind = reduction.aggregation
        if "x" in kind.asks and reduction.argument is None:
            raise SchemaError(f"{kind.name} needs an argument", where=self._at(reduction.name))
        if ("by" in kind.asks) != (reduction.by is not None):
            needs = "needs by=, a second argument" if "by" in kind.asks else "takes no by="
            raise SchemaError(f"{kind.name} {needs}", where=self._at(reduction.name))

    def _distinct(self, names: Iterable[str]) -> None:
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise DefinitionError(f"two features are called {twice[0]!r}", where=self.where)

    def _at(self, feature: str) -> str:
        return f"{self.where}, feature {feature!r}"

    def _argument(self, value: ibis.Value, label: str) -> tuple[str, str]:
        """The column that holds a value of a row, and its type; the same column for the same value."""
        logical = _logical(value, f"{self.where}, {label!r}")
        (canonical,) = expressions({label: value.cast(logical)}, self.visible).values()
        op = _bare(canonical.op())
        name = next((n for n, v in self.arguments.items() if v.op() == op), f"_a{len(self.arguments)}")
        self.arguments[name] = op.to_expr()
        return name, logical

    # ── keys, order and time ─────────────────────────────────────────────────────────────────────────

    def _key_type(self, column: str) -> str:
        kind = self._column_type(column)
        if kind not in _KEYS:
            raise SchemaError(f"{column!r} cannot be a key", where=self.where, got=kind, expected=", ".join(_KEYS))
        return kind

    def _order_type(self, column: str) -> str:
        return _stored(self._column_type(column))

    def _column_type(self, column: str) -> str:
        if column not in self.inputs:
            raise UnknownName.among("column", column, self.inputs, where=self.where)
        return _logical(self.visible[column], f"{self.where}, {column!r}")

    def _known(self, others: list[str]) -> Known:
        fields = {f.name for v in self.arguments.values() for f in v.op().find(ops.Field)}
        columns = sorted(fields.union(others) - self.assumed)
        return ALWAYS_KNOWN.latest(*(self.source.known[column] for column in columns))

    def _usable(self, known: Known) -> Any:
        """When a row became usable; null, hence never, while one of the instants is."""
        moments = [to_micros(self.rows[m.column]) + m.offset for m in sorted(known.moments)]
        always = ibis.literal(ALWAYS, type="int64")
        return reduce(_later, moments) if moments else always

    def _events(self, key: Mapping[str, str], order: str | None, known: Known) -> ibis.Table:
        columns: dict[str, Any] = {c: self.rows[c].cast(t) for c, t in key.items()}
        columns["_u"] = self._usable(known)
        if "_arrived" in self.rows.columns:
            columns["_arrived"] = to_micros(self.rows["_arrived"]).fill_null(columns["_u"])
        if "_gone" in self.rows.columns:
            columns["_gone"] = to_micros(self.rows["_gone"])
        if order is not None:
            column = self.rows[str(self.node.order_by)]
            raw = to_micros(column) if column.type().is_timestamp() else column.cast(order)
            columns["_order"] = _nulls(raw).fill_null(ibis.literal(SMALLEST[order], type=order))
        if "_seq" in self.rows.columns:
            columns["_seq"] = self.rows["_seq"].fill_null(-1)
        exchange = {self.visible.op(): self.rows.op()}
        for name, value in self.arguments.items():
            raw = value.op().replace(exchange).to_expr()
            columns[name] = _nulls(to_micros(raw) if raw.type().is_timestamp() else raw)
        events = self.rows.select(**columns)
        return events.filter(events["_u"].notnull(), *(events[c].notnull() for c in key))

    def _fingerprint(self, events: ibis.Table, features: tuple[Feature, ...]) -> str:
        node = self.node
        parts = [(f.name, f.type, f.arguments, f.aggregation and f.aggregation.identity(), f.window) for f in features]
        settings = {"ttl": node.ttl, "closed": node.closed, "grace": node.grace, "key": node.key}
        return digest("view", of_expression(events), canonical(parts), canonical(settings))


def _logical(value: ibis.Value, where: str) -> str:
    """The type that a value has in features: int64, float64, boolean, string or an instant. Raises `SchemaError`."""
    kind = value.type()
    if kind.is_integer():
        return "int64"
    if kind.is_floating() or kind.is_decimal():
        return "float64"
    if kind.is_boolean() or kind.is_string():
        return "boolean" if kind.is_boolean() else "string"
    if kind.is_timestamp() and kind.timezone == "UTC":
        return INSTANT
    raise SchemaError(
        "features do not know this type",
        where=where,
        got=str(kind),
        expected=f"a number, boolean, string or {INSTANT}",
        hint="a naive timestamp could mean any zone" if kind.is_timestamp() else '.cast("string")',
    )


def _bare(op: Any) -> Any:
    return _bare(op.arg) if isinstance(op, ops.Alias) else op


def _stored(logical: str) -> str:
    return "int64" if logical == INSTANT else logical


def _nulls(value: Any) -> Any:
    """NaN is null, and so is the smallest int64."""
    if value.type().is_floating():
        return value.isnan().ifelse(ibis.null("float64"), value)
    return value.nullif(NULL_INT) if value.type().is_integer() else value


def _present(value: Any) -> Any:
    """Whether a value counts, as `_nulls` has it."""
    if value.type().is_floating():
        return value.notnull() & ~value.isnan()
    return value.nullif(NULL_INT).notnull() if value.type().is_integer() else value.notnull()


def _later(a: Any, b: Any) -> Any:
    # SQL's GREATEST skips nulls, but what waits for an instant that is not there yet is not known.
    return (a.isnull() | b.isnull()).ifelse(ibis.null("int64"), ibis.greatest(a, b))
