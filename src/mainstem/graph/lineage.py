"""Column lineage through Ibis expressions: where each column comes from, and when it becomes known.

`trace` walks relations from the leaves up. `traces` has the rules for each operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from mainstem.graph import traces as rules
from mainstem.graph.known import Moment
from mainstem.graph.traces import NOTHING, Rows, Trace, Traces, derived, never_said, of_other_rows, places
from mainstem.graph.units import IBIS_UNITS

if TYPE_CHECKING:
    import ibis

_DRAWN = (ops.TimestampNow, ops.DateNow, ops.RandomScalar, ops.RandomUUID)
_INEQUALITIES = (ops.Greater, ops.GreaterEqual, ops.Less, ops.LessEqual)


def leaves(expression: ibis.Expr) -> frozenset[str]:
    """Return the names of the unbound tables that an expression reads."""
    return frozenset(table.name for table in expression.op().find(ops.UnboundTable))


def moment_of(value: ibis.Value) -> Moment | None:
    """Return `column ± constant intervals` as a moment; None for any other value."""
    return _moment(value.op())


def trace(expression: ibis.Table, leaf: Callable[[str], Traces]) -> Traces:
    """Return the trace of every column of a relation, given the traces of its leaves by name."""
    return _Walk(leaf).relation(expression.op())


def _moment(op: Any, name: Callable[[Any], str] = lambda op: str(op.name)) -> Moment | None:
    if isinstance(op, ops.Field):
        return Moment(name(op))
    if isinstance(op, (ops.TimestampAdd, ops.TimestampSub)):
        base, shift = _moment(op.left, name), interval(op.right)
        if base is not None and shift is not None:
            sign = 1 if isinstance(op, ops.TimestampAdd) else -1
            return Moment(base.column, base.offset + sign * shift)
    return None


def interval(op: Any) -> int | None:
    """Return a constant interval in microseconds; None for any other value, and for months."""
    if isinstance(op, ops.Literal) and op.dtype.is_interval():
        size = IBIS_UNITS.get(op.dtype.unit.short)
        return None if size is None else int(op.value) * size
    if isinstance(op, (ops.IntervalAdd, ops.IntervalSubtract)):
        left, right = interval(op.left), interval(op.right)
        if left is None or right is None:
            return None
        return left + right if isinstance(op, ops.IntervalAdd) else left - right
    return None


class _Walk:
    """One pass over an expression. Each relation is visited once."""

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
            case ops.Union():
                return rules.united(self.relation(op.left), self.relation(op.right))
            case ops.Set():
                return rules.compared(self.relation(op.left), self.relation(op.right))
            case ops.Filter():
                return rules.chosen(self.relation(op.parent), self._values(op).all(op.predicates))
            case ops.DropNull():
                fields = op.subset or tuple(op.parent.fields.values())
                return rules.chosen(self.relation(op.parent), self._values(op).all(fields))
            case ops.Limit():
                return rules.chosen(self.relation(op.parent), self._limit(op.parent))
            case ops.TableUnnest():
                return self._unnest(op)
            case ops.SelfReference() | ops.JoinReference() | ops.AliasedRelation():
                return self.relation(op.parent)
            case ops.DummyTable():
                return {name: self._values(op).of(value) for name, value in op.values.items()}
            case _ if hasattr(op, "parent") and op.values:
                return self._project(op)
            case _:
                return dict.fromkeys(op.schema, never_said(f"{type(op).__name__} cannot be traced"))

    def _values(self, op: Any) -> _Values:
        """Return the traces of values over the input relation of `op`."""
        return _Values(self, lambda: derived(self.relation(op.parent).values()))

    def _project(self, op: Any) -> Traces:
        values = self._values(op)
        place = places({name: _moment(value) for name, value in op.values.items()})
        return rules.projected({name: values.of(value) for name, value in op.values.items()}, place)

    def _aggregate(self, op: Any) -> Traces:
        values = self._values(op)
        copies = {name: _moment(group) for name, group in op.groups.items()}
        copies |= {name: _moment(m.arg) for name, m in op.metrics.items() if isinstance(m, ops.Max) and not m.where}
        groups = {name: values.of(group) for name, group in op.groups.items()}
        metrics = {name: values.of(metric) for name, metric in op.metrics.items()}
        return rules.aggregated(groups, metrics, values.rows(), places(copies))

    def _limit(self, op: Any) -> Trace:
        """Return the trace of the keys that order the rows of a limit."""
        if isinstance(op, ops.Sort):
            return of_other_rows(self._values(op).all(op.keys), "a limit of ordered rows")
        return self._limit(op.parent) if hasattr(op, "parent") and op.values else NOTHING

    def _unnest(self, op: Any) -> Traces:
        item = self._values(op).of(op.column)
        rows = {**self.relation(op.parent), **{n: item for n in (op.column_name, op.offset) if n}}
        return rows if op.keep_empty else rules.chosen(rows, item)

    # ── joins ────────────────────────────────────────────────────────────────────────────────────────

    def _join(self, chain: Any) -> Traces:
        sides = _sides([chain.first, *(link.table for link in chain.rest)])
        rows = Rows.of(sides[chain.first], self.relation(chain.first))
        for link in chain.rest:
            rows = self._link(rows, link, sides)
        values = self._beside(rows, sides)
        place = places({n: _moment(v, _named(sides)) for n, v in chain.values.items()}, rows.same)
        return rules.projected({name: values.of(value) for name, value in chain.values.items()}, place)

    def _link(self, rows: Rows, link: Any, sides: Mapping[Any, str]) -> Rows:
        other = Rows.of(sides[link.table], self.relation(link.table))
        if link.how == "positional":
            lost = never_said("a positional join cannot be traced")
            return rows.join(other, "inner", lost)
        if link.how == "asof":
            for predicate in link.predicates:
                if moments := _backward(predicate, link.table, sides):
                    other = other.as_of(*moments)
        condition = self._beside(rows.beside(other), sides).all(link.predicates)
        how = "left" if link.how == "asof" else link.how
        return rows.join(other, how, condition, _equal(link, sides))

    def _beside(self, rows: Rows, sides: Mapping[Any, str]) -> _Values:
        return _Values(self, lambda: rows.whole, lambda op: rows[f"{sides[op.rel]}.{op.name}"])


@dataclass(frozen=True)
class _Values:
    """Traces of values over a relation. `rows` gives the trace of a whole row, `field` the trace of one column."""

    walk: _Walk
    rows: Callable[[], Trace]
    field: Callable[[Any], Trace] | None = None

    def of(self, op: Any) -> Trace:
        match op:
            case ops.Field():
                return self.field(op) if self.field else self.walk.relation(op.rel)[op.name]
            case ops.WindowFunction():
                read = self.all(op.__args__)
                return of_other_rows(read if read.sources else self.rows(), f"a window function over {op.func.name}")
            case ops.Subquery():
                read = of_other_rows(derived(self.walk.relation(op.rel).values()), "a subquery")
                return read.latest(self.of(op.needle)) if isinstance(op, ops.InSubquery) else read
            case _ if isinstance(op, _DRAWN):
                return never_said(f"{type(op).__name__} has a different value at each evaluation")
        return self.all(op.__args__)

    def all(self, values: Iterable[Any]) -> Trace:
        return derived(_flatten(values, self.of))


def _flatten(values: Iterable[Any], visit: Callable[[Any], Trace]) -> Iterable[Trace]:
    for value in values:
        if isinstance(value, ops.Value):
            yield visit(value)
        elif isinstance(value, tuple):
            yield from _flatten(value, visit)
        elif isinstance(value, ops.Node) and not isinstance(value, ops.Relation):
            yield from _flatten(value.__args__, visit)


def _sides(tables: Iterable[Any]) -> dict[Any, str]:
    """Map each side of a join to its table's name, or to its number if the name is missing or not unique."""
    sides: dict[Any, str] = {}
    for number, table in enumerate(tables):
        name = table.parent.name if isinstance(table.parent, ops.UnboundTable) else str(number)
        sides[table] = f"{name}#{number}" if name in sides.values() else name
    return sides


def _named(sides: Mapping[Any, str]) -> Callable[[Any], str]:
    return lambda op: f"{sides[op.rel]}.{op.name}"


def _equal(link: Any, sides: Mapping[Any, str]) -> Iterable[tuple[str, str]]:
    """Yield the columns that the condition equates, one of the rows so far and one of the link's table each."""
    name = _named(sides)
    for p in link.predicates:
        if isinstance(p, ops.Equals) and isinstance(p.left, ops.Field) and isinstance(p.right, ops.Field):
            ours, theirs = (p.right, p.left) if p.left.rel == link.table else (p.left, p.right)
            if theirs.rel == link.table:
                yield name(ours), name(theirs)


def _backward(p: Any, right: Any, sides: Mapping[Any, str]) -> tuple[Moment, Moment] | None:
    """Return the two instants of an as-of condition that looks back, theirs and ours: theirs is not later than ours."""
    if not isinstance(p, _INEQUALITIES):
        return None
    early, late = (p.right, p.left) if isinstance(p, (ops.Greater, ops.GreaterEqual)) else (p.left, p.right)
    theirs, ours = _moment(early, _named(sides)), _moment(late, _named(sides))
    if theirs is None or ours is None or _base(early).rel != right or _base(late).rel == right:
        return None
    return theirs, ours


def _base(op: Any) -> Any:
    return op if isinstance(op, ops.Field) else _base(op.left)
