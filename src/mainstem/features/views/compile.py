"""Compile a declared feature view to its normal form: typed and checked, without reading data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import ibis
import ibis.expr.operations as ops

from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.features.rowwise.on_demand import canonical as canonical_values
from mainstem.features.values import logical_type, present, stored_type
from mainstem.features.views.events import asking, normal
from mainstem.features.views.reductions import Reduction, read_reductions
from mainstem.features.views.view import Chain, CompiledView, Feature, Lookup
from mainstem.features.windows import Window
from mainstem.graph.fingerprint import canonical, digest, of_expression
from mainstem.graph.known import ALWAYS as ALWAYS_KNOWN
from mainstem.graph.known import Known
from mainstem.nodes.definition import Definition
from mainstem.nodes.durations import microseconds
from mainstem.nodes.features import FeatureView
from mainstem.nodes.hidden import ARRIVED, GONE, SEQ, is_hidden
from mainstem.nodes.instants import INSTANT
from mainstem.tables.total import total

_KEYS = ("int64", "string", "boolean", INSTANT)

Using = Callable[[Mapping[str, str]], tuple[Lookup, ...]]


def compile_view(
    node: FeatureView,
    name: str,
    source: Definition,
    using: Using = lambda given: (),
) -> CompiledView:
    """Check a view against its source and return its normal form. No data is read.

    `using` returns the lookups of used views, given the columns of the rows. Raises `DefinitionError`, `SchemaError`
    for a wrong type or reduction, and `UnknownName` for an unknown column.
    """
    return _Compiler(node, name, source, using).compile()


class _Compiler:
    def __init__(self, node: FeatureView, name: str, source: Definition, using: Using) -> None:
        if source.events is None:
            raise DefinitionError(f"{source.name!r} is not a relation", where=f"{name} ({node.origin})")
        self.node, self.name, self.source = node, name, source
        self.where = f"{name} ({node.origin})"
        self.read = source.events
        own = {c: str(t) for c, t in self.read.schema().items() if not is_hidden(c)}
        self.lookups = using(own)
        self.brought = {c: f.type for lookup in self.lookups for c, f in lookup.columns.items()}
        self.inputs = {**own, **self.brought}
        self.rows = ibis.table(self.read.schema(), name=source.name)
        self.visible = ibis.table(self.inputs, name="row")
        self.arguments: dict[str, ibis.Value] = {}
        self.names: dict[Any, str] = {}

    def compile(self) -> CompiledView:
        node = self.node
        for column in node.assume_known:
            self._column_type(column)
        key = {column: self._key_type(column) for column in node.key}
        order = None if node.order_by is None else self._order_type(node.order_by)
        features = self._windowed() if node.features else self._latest()
        known = self._known([*node.key, *([node.order_by] if node.order_by else [])])
        if node.features and not known.moments:
            raise DefinitionError(
                "a window requires a time",
                where=self.where,
                got=f"{self.source.name!r}, known {known}",
                expected="a source with time= or known=",
            )
        identity = tuple(self._argument(self.visible[c], c)[0] for c in self._changing())
        chain = self._chain(known, (*key, *([node.order_by] if node.order_by else []))) if self.lookups else None
        rows = self.rows if chain is None else chain.answered
        guarded = {name: total(value) for name, value in self.arguments.items()}
        events = self._events(rows, key, order, known, guarded)
        written = self._events(rows, key, order, known, self.arguments)
        return CompiledView(
            name=self.name,
            source=self.source.name,
            key=key,
            features=features,
            events=self._over_source(events),
            arguments={a: stored_type(str(v.type())) for a, v in self.arguments.items()},
            rows=self.arguments,
            inputs=self.inputs,
            known=known,
            order_by=node.order_by,
            order=order,
            arrives=ARRIVED in self.read.columns,
            retracts=GONE in self.read.columns,
            identity=identity,
            sequenced=SEQ in self.read.columns,
            ttl=None if node.ttl is None else microseconds(node.ttl, self.where),
            inclusive=node.closed == "both",
            grace=microseconds(node.grace, self.where),
            grace_text=node.grace,
            fingerprint=self._fingerprint(written, features),
            chain=None if chain is None else replace(chain, rows=self._over_source(chain.rows)),
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
        """Return the columns of the arguments and the feature's type."""
        value, by, condition, kind = reduction.argument, reduction.by, reduction.where, reduction.aggregation
        self._asked(reduction)
        if value is None and condition is None:
            return None, None, kind.type("boolean")
        value = ibis.literal(True) if value is None else value
        if value.type().is_boolean() and "boolean" not in kind.takes:
            value = value.cast("int64")
        if by is not None:
            condition = present(by) if condition is None else condition & present(by)
        if condition is not None:
            value = condition.ifelse(value, ibis.null(value.type()))
        argument, logical = self._argument(value, reduction.name)
        if logical not in kind.takes:
            raise SchemaError(
                f"{kind.name} does not support {logical}",
                where=self._at(reduction.name),
                expected=", ".join(sorted(kind.takes)),
            )
        return argument, None if by is None else self._argument(by, reduction.name)[0], kind.type(logical)

    def _asked(self, reduction: Reduction) -> None:
        """Refuse an aggregation with a missing argument, or with one too many."""
        kind = reduction.aggregation
        if "x" in kind.asks and reduction.argument is None:
            raise SchemaError(f"{kind.name} requires an argument", where=self._at(reduction.name))
        if ("by" in kind.asks) != (reduction.by is not None):
            needs = "needs by=, a second argument" if "by" in kind.asks else "takes no by="
            raise SchemaError(f"{kind.name} {needs}", where=self._at(reduction.name))

    def _distinct(self, names: Iterable[str]) -> None:
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise DefinitionError(f"two features have the name {twice[0]!r}", where=self.where)

    def _at(self, feature: str) -> str:
        return f"{self.where}, feature {feature!r}"

    def _argument(self, value: ibis.Value, label: str) -> tuple[str, str]:
        """Return the column of a row's value, and its type. Equal values share a column."""
        logical = logical_type(value, f"{self.where}, {label!r}")
        (found,) = canonical_values({label: value.cast(logical)}, self.visible).values()
        op = _bare(found.op())
        name = self.names.setdefault(op, f"_a{len(self.names)}")
        self.arguments[name] = op.to_expr()
        return name, logical

    def _changing(self) -> tuple[str, ...]:
        """Return the columns that identify the event of a change."""
        key: tuple[str, ...] = getattr(self.source.node, "key", ())
        return key if GONE in self.read.columns else ()

    # ── keys, order and time ─────────────────────────────────────────────────────────────────────────

    def _key_type(self, column: str) -> str:
        kind = self._column_type(column)
        if kind not in _KEYS:
            raise SchemaError(f"{column!r} cannot be a key", where=self.where, got=kind, expected=", ".join(_KEYS))
        return kind

    def _order_type(self, column: str) -> str:
        return stored_type(self._column_type(column))

    def _column_type(self, column: str) -> str:
        if column not in self.inputs:
            raise UnknownName.among("column", column, self.inputs, where=self.where)
        return logical_type(self.visible[column], f"{self.where}, {column!r}")

    def _known(self, others: list[str]) -> Known:
        """Return when a row with these columns becomes known. Used views are looked up as of then."""
        fields = {f.name for v in self.arguments.values() for f in v.op().find(ops.Field)}
        asked = {column for lookup in self.lookups for column in lookup.on}
        read = fields.union(others, asked) - self.brought.keys()
        columns = sorted((read or self._time()) - self.node.assume_known.keys())
        never_said = (Known(unknown=lookup.view.known.unknown) for lookup in self.lookups)
        return ALWAYS_KNOWN.latest(*(self.source.known[column] for column in columns), *never_said)

    def _time(self) -> set[str]:
        """Return the `time` column, if there is one: the presence of a row is known when it happens."""
        time = getattr(self.source.node, "time", None)
        return {str(time)} if time else set()

    def _chain(self, known: Known, placing: tuple[str, ...]) -> Chain:
        if not known.moments:
            raise DefinitionError("a view with `using` requires a time", where=self.where, got=f"known {known}")
        if GONE in self.read.columns:
            self._identified(placing)
        rows = asking(self.rows, known)
        answered = ibis.table({**rows.schema(), **self.brought}, name=f"{self.name}: rows")
        return Chain(self.lookups, rows, answered)

    def _identified(self, placing: tuple[str, ...]) -> None:
        """Check that a change identifies the retracted event by its own columns: looked-up ones may no longer be
        available."""
        for column in placing:
            if column in self.brought:
                raise DefinitionError(
                    f"{column!r} cannot be a key or an order here: it belongs to another view",
                    where=self.where,
                    got=f"{self.source.name!r}, a stream of changes",
                    expected="a column of the stream",
                )

    def _events(
        self,
        rows: ibis.Table,
        key: Mapping[str, str],
        order: str | None,
        known: Known,
        values: Mapping[str, ibis.Value],
    ) -> ibis.Table:
        exchange = {self.visible.op(): rows.op()}
        arguments = {name: value.op().replace(exchange).to_expr() for name, value in values.items()}
        return normal(rows, known, key, None if order is None else (str(self.node.order_by), order), arguments)

    def _over_source(self, rows: ibis.Table) -> ibis.Table:
        found: ibis.Table = rows.op().replace({self.rows.op(): self.read.op()}).to_expr()
        return found

    def _fingerprint(self, events: ibis.Table, features: tuple[Feature, ...]) -> str:
        node = self.node
        parts = [(f.name, f.type, f.arguments, f.aggregation and f.aggregation.identity(), f.window) for f in features]
        settings = {"ttl": node.ttl, "closed": node.closed, "grace": node.grace, "key": node.key}
        used = [(lookup.view.fingerprint, lookup.on) for lookup in self.lookups]
        return digest("view", of_expression(events), canonical(parts), canonical(settings), *map(canonical, used))


def _bare(op: Any) -> Any:
    return _bare(op.arg) if isinstance(op, ops.Alias) else op
