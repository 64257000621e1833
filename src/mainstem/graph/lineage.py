"""Column lineage through Ibis expressions: where each column comes from, and when it becomes known.

`trace` walks relations from the leaves up. For every column of every relation it keeps the source columns it derives
from and a `Known` in terms of *that relation's own columns*; where the instant a value is known at gets lost on the way
(dropped, or aggregated away), the value is of unknown availability from there on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from mainstem.graph.known import ALWAYS, Known, Moment

if TYPE_CHECKING:
    import ibis

_UNITS = {
    "W": 604_800_000_000,
    "D": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}


@dataclass(frozen=True)
class Trace:
    """One column: the `source.column`s it derives from, and when it becomes known."""

    sources: frozenset[str]
    known: Known

    def latest(self, *others: Trace) -> Trace:
        """Derived from this and others alike."""
        sources = self.sources.union(*(o.sources for o in others))
        return Trace(sources, self.known.latest(*(o.known for o in others)))


NOTHING = Trace(frozenset(), ALWAYS)
Traces = Mapping[str, Trace]


def leaves(expression: ibis.Expr) -> frozenset[str]:
    """The names of the unbound tables that an expression reads."""
    return frozenset(table.name for table in expression.op().find(ops.UnboundTable))


def moment_of(value: ibis.Value) -> Moment | None:
    """`column ± constant intervals` as a moment; None for anything else."""
    return _moment(value.op())


def trace(expression: ibis.Table, leaf: Callable[[str], Traces]) -> Traces:
    """The trace of every column of a relation, given those of its leaves by name."""
    return _Walk(leaf).relation(expression.op())


def _moment(op: Any) -> Moment | None:
    if isinstance(op, ops.Field):
        return Moment(op.name)
    if isinstance(op, (ops.TimestampAdd, ops.TimestampSub)):
        base, shift = _moment(op.left), _interval(op.right)
        if base is not None and shift is not None:
            sign = 1 if isinstance(op, ops.TimestampAdd) else -1
            return Moment(base.column, base.offset + sign * shift)
    return None


def _interval(op: Any) -> int | None:
    if isinstance(op, ops.Literal) and op.dtype.is_interval():
        size = _UNITS.get(op.dtype.unit.short)
        return None if size is None else int(op.value) * size
    if isinstance(op, (ops.IntervalAdd, ops.IntervalSubtract)):
        left, right = _interval(op.left), _interval(op.right)
        if left is None or right is None:
            return None
        return left + right if isinstance(op, ops.IntervalAdd) else left - right
    return None


class _Walk:
    """One pass over an expression; each relation is visited once."""

    def __init__(self, leaf: Callable[[str], Traces]) -> None:
        self.leaf = leaf
        self.relation = cache(self._relation)

    def _relation(self, op: Any) -> Traces:
        match op:
            case ops.UnboundTable():
                known = self.leaf(op.name)
                return {name: known.get(name, NOTHING) for name in op.schema}
            case ops.JoinChain():
                return self._join(op)
            case ops.Aggregate():
                return self._aggregate(op)
            case ops.Set():
                return self._set(op)
            case ops.Filter():
                # That a row is there at all tells what its condition knew; its values come from elsewhere.
                seen = [self.value(p).known for p in op.predicates]
                return {n: Trace(t.sources, t.known.latest(*seen)) for n, t in self.relation(op.parent).items()}
            case ops.SelfReference() | ops.JoinReference() | ops.AliasedRelation():
                return self.relation(op.parent)
            case _ if hasattr(op, "parent") and op.values:
                return self._project(op.values)
            case _:
                lost = Trace(frozenset(), Known.never_said(f"{type(op).__name__} cannot be traced"))
                return {name: NOTHING if isinstance(op, ops.DummyTable) else lost for name in op.schema}

    def value(self, op: Any) -> Trace:
        """A value, in terms of the columns of the relations it reads."""
        match op:
            case ops.Field():
                return self.relation(op.rel)[op.name]
            case ops.WindowFunction():
                return _of_other_rows(self._all(op.__args__), f"a window function over {op.func.name}")
            case ops.Subquery():
                return _of_other_rows(self._all(self.relation(op.rel).values()), "a subquery")
        return self._all(op.__args__)

    def _all(self, values: Iterable[Any]) -> Trace:
        return NOTHING.latest(*_flatten(values, self.value))

    def _project(self, values: Mapping[str, Any]) -> Traces:
        home = {op.name: name for name, op in reversed(list(values.items())) if isinstance(op, ops.Field)}
        return {name: _rename(self.value(op), home.get) for name, op in values.items()}

    def _join(self, chain: Any) -> Traces:
        sides: dict[Any, Traces] = {ref: _tag(self.relation(ref), i) for i, ref in enumerate(chain.tables)}
        everyone = NOTHING

        def side_value(op: Any) -> Trace:
            if isinstance(op, ops.Field):
                return sides[op.rel][op.name]
            return NOTHING.latest(*_flatten(op.__args__, side_value))

        for link in chain.rest:
            if link.how == "asof":
                sides[link.table] = _as_of(sides[link.table], link, side_value)
                continue
            condition = NOTHING.latest(*map(side_value, link.predicates))
            sides[link.table] = {n: t.latest(condition) for n, t in sides[link.table].items()}
            if link.how not in ("left", "any_left", "cross"):
                everyone = everyone.latest(condition)
        home = {
            f"{list(sides).index(op.rel)}.{op.name}": name
            for name, op in reversed(list(chain.values.items()))
            if isinstance(op, ops.Field)
        }
        return {name: _rename(side_value(op).latest(everyone), home.get) for name, op in chain.values.items()}

    def _aggregate(self, op: Any) -> Traces:
        home = {group.name: name for name, group in op.groups.items() if isinstance(group, ops.Field)}
        for name, metric in op.metrics.items():
            if isinstance(metric, ops.Max) and isinstance(metric.arg, ops.Field) and metric.where is None:
                home.setdefault(metric.arg.name, name)
        rows = self._all(ops.Field(op.parent, name) for name in op.parent.schema)
        traced = {name: self.value(group) for name, group in op.groups.items()}
        for name, metric in op.metrics.items():
            own = self.value(metric)
            traced[name] = own if own.sources else replace(rows, sources=rows.sources)
        return {name: _rename(t, home.get, "aggregated over rows") for name, t in traced.items()}

    def _set(self, op: Any) -> Traces:
        left, right = self.relation(op.left), self.relation(op.right)
        return {name: left[name].latest(right[name]) for name in op.schema}


def _flatten(values: Iterable[Any], visit: Callable[[Any], Trace]) -> Iterable[Trace]:
    for value in values:
        if isinstance(value, Trace):
            yield value
        elif isinstance(value, ops.Value):
            yield visit(value)
        elif isinstance(value, tuple):
            yield from _flatten(value, visit)
        elif isinstance(value, ops.Node) and not isinstance(value, ops.Relation):
            yield from _flatten(value.__args__, visit)


def _rename(t: Trace, home: Callable[[str], str | None], lost: str = "") -> Trace:
    known = t.known.rename(home)
    if known.unknown and not t.known.unknown and lost:
        known = Known.never_said(f"{lost}: {known.unknown}")
    return Trace(t.sources, known)


def _tag(traces: Traces, side: int) -> Traces:
    """Moments of a join's side, told apart from those of its other sides."""
    return {n: Trace(t.sources, t.known.rename(lambda c: f"{side}.{c}")) for n, t in traces.items()}


def _of_other_rows(t: Trace, what: str) -> Trace:
    if not t.known.moments:
        return t
    return Trace(t.sources, Known.never_said(f"{what} reads other rows, known at other times"))


def _as_of(right: Traces, link: Any, side_value: Callable[[Any], Trace]) -> Traces:
    """An as-of join shows only rows whose time has come: the right side is known when the left side's instant is."""
    (order,) = (p for p in link.predicates if isinstance(p, (ops.Greater, ops.GreaterEqual, ops.Less, ops.LessEqual)))
    theirs, ours = (order.left, order.right) if order.left.rel == link.table else (order.right, order.left)
    at = ops.Field(ours.rel, ours.name)
    moment = Moment(f"{_side(ours.rel, link)}.{at.name}")
    condition = NOTHING.latest(*map(side_value, link.predicates))
    seen = {m.column for m in right[theirs.name].known.moments} or {theirs.name}
    return {
        name: Trace(t.sources | condition.sources, Known(frozenset({moment})))
        if not t.known.unknown and all(m.column in seen and m.offset <= 0 for m in t.known.moments)
        else t.latest(condition)
        for name, t in right.items()
    }


def _side(reference: Any, link: Any) -> int:
    return int(reference.identifier)
