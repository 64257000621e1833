"""Column lineage through SQL tables, by the same rules as Ibis expressions.

SQLGlot qualifies every name and expands every star. Each clause is then traced as one operation. If a query contains
syntax without a rule, the availability of all its columns is unknown, with the syntax as the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import sqlglot.expressions as sge
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import Scope, build_scope

from mainstem.engines.queries import DIALECT
from mainstem.graph import traces as rules
from mainstem.graph.known import Moment
from mainstem.graph.traces import NOTHING, Rows, Trace, Traces, derived, never_said, of_other_rows, places
from mainstem.tables.sql_values import Untraceable, Values, how, is_aggregate, looks_back, refuse

Leaf = Callable[[str], Traces]

_SETS = ("grouping_sets", "rollup", "cube")


def trace(query: sge.Query, inputs: Mapping[str, Sequence[str]], leaf: Leaf, columns: Sequence[str]) -> Traces:
    """Return the trace of each of a query's `columns`, given the traces of its inputs' columns."""
    try:
        found = _traced(query, inputs, leaf)
        _in_order(list(found), [column.lower() for column in columns])
        return _renamed(found, columns)
    except (Untraceable, SqlglotError) as problem:
        why = str(problem).split("\n")[0]
        return dict.fromkeys(columns, never_said(f"the SQL cannot be traced: {why}"))


def _traced(query: sge.Query, inputs: Mapping[str, Sequence[str]], leaf: Leaf) -> Traces:
    scope = _scope(_Query(query), tuple((name, tuple(columns)) for name, columns in inputs.items()))
    return _Walk({name.lower(): _lower(leaf(name), inputs[name]) for name in inputs}).query(scope)


class _Query:
    """A query that equals another one of the same SQL without comments."""

    def __init__(self, tree: sge.Query) -> None:
        self.tree = tree
        self._sql = tree.sql(DIALECT, comments=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Query) and self._sql == other._sql

    def __hash__(self) -> int:
        return hash(self._sql)


@lru_cache(maxsize=256)  # a first run traces each table twice: to resolve it, and to keep what its columns mean
def _scope(query: _Query, inputs: tuple[tuple[str, tuple[str, ...]], ...]) -> Scope:
    from sqlglot.optimizer.qualify import qualify

    refuse(query.tree)
    schema: dict[str, object] = {name.lower(): {c.lower(): "unknown" for c in columns} for name, columns in inputs}
    qualified = qualify(query.tree.copy(), schema=schema, dialect=DIALECT, quote_identifiers=False)
    scope = build_scope(qualified.unnest())
    if scope is None:
        raise Untraceable(qualified.key.upper())
    return scope


def _lower(traces: Traces, columns: Iterable[str]) -> Traces:
    """Return traces with lower-case names: SQL names are case-insensitive."""
    return {c.lower(): traces.get(c, NOTHING).rename(lambda name: Moment(name.lower())) for c in columns}


def _in_order(found: Sequence[str], columns: Sequence[str]) -> None:
    """Check that SQLGlot expanded a star as the engine does. An unnamed expression may have two names."""
    for name, column in zip(found, columns, strict=False):
        if name != column and name in columns:
            raise Untraceable(f"{name} where {column} is expected")


def _renamed(found: Traces, columns: Sequence[str]) -> Traces:
    if len(found) != len(columns):
        raise Untraceable("columns with the same name")
    new = dict(zip(found, columns, strict=True))
    return {new[name]: t.rename(lambda column: Moment(new[column])) for name, t in found.items()}


@dataclass(frozen=True)
class _Walk:
    """One pass over a query, its subqueries, and the queries of WITH."""

    leaves: Mapping[str, Traces]
    done: dict[int, Traces] = field(default_factory=dict)
    orders: dict[int, Trace] = field(default_factory=dict)

    def query(self, scope: Scope, outer: Values | None = None) -> Traces:
        if id(scope) not in self.done:
            expression = scope.expression
            if isinstance(expression, sge.SetOperation):
                self.done[id(scope)] = self._set(scope, expression, outer)
            elif isinstance(expression, sge.Select):
                self.done[id(scope)] = _Select(self, scope, expression, outer).traces()
            else:
                raise Untraceable(expression.key.upper())
        return self.done[id(scope)]

    def _set(self, scope: Scope, operation: sge.SetOperation, outer: Values | None) -> Traces:
        left, right = (self.query(side, outer) for side in scope.set_operation_scopes)
        if not operation.args.get("by_name"):
            right = _renamed(right, list(left))
        found = rules.united(left, right) if isinstance(operation, sge.Union) else rules.compared(left, right)
        if operation.args.get("limit") and operation.args.get("order"):
            found = rules.chosen(found, of_other_rows(derived(found.values()), "a limit of ordered rows"))
        return found

    def source(self, scope: Scope, item: Any, left: Values) -> Rows:
        """Return the rows of one name in a FROM clause. `left` are the rows to the left of it."""
        name = item.alias_or_name
        match found := scope.sources.get(name):
            case sge.Table() if found.name in self.leaves and not isinstance(found.this, sge.Func):
                return Rows.of(name, self.leaves[found.name])
            case Scope(expression=sge.Unnest() | sge.Values() as made):
                value = left.all(made.expressions)
                return Rows({f"{name}.{c}": value for c in made.alias_column_names}).where(value)
            case Scope(expression=sge.Query()):
                return Rows.of(name, self.query(found, left))
        raise Untraceable(f"{item.sql(DIALECT)} in FROM")


@dataclass(frozen=True)
class _Select:
    walk: _Walk
    scope: Scope
    select: sge.Select
    outer: Values | None

    def traces(self) -> Traces:
        outputs = self._aggregated() if self._is_aggregated else self._projected()
        for clause in ("having", "qualify"):
            if condition := self.select.args.get(clause):
                outputs = rules.chosen(outputs, self._condition(self.values, condition.this))
        return rules.chosen(outputs, self._compared())

    # ── FROM and WHERE ───────────────────────────────────────────────────────────────────────────────

    @cached_property
    def values(self) -> Values:
        values = Values(self.walk.query, self.scope, Rows({}), self.outer)
        if source := self.select.args.get("from_"):
            values = values.over(self._item(source.this, values))
        values = self._joined(values, self.select)
        where = self.select.args.get("where")
        return values.over(values.rows.where(values.of(where.this))) if where else values

    def _item(self, item: Any, left: Values) -> Rows:
        """Return the rows of one item of a FROM clause: a relation, or a join in parentheses. `left` is to the left of
        it."""
        if isinstance(item, sge.Subquery) and not item.alias and isinstance(item.this, (sge.Table, sge.Subquery)):
            rows = self._item(item.this, left)
        else:
            rows = self.walk.source(self.scope, item, left)
        return self._joined(left.over(rows), item).rows

    def _joined(self, values: Values, item: Any) -> Values:
        for join in item.args.get("joins") or ():
            values = values.over(self._join(values, join))
        return values

    def _join(self, values: Values, join: sge.Join) -> Rows:
        kind, on = how(join), join.args.get("on")
        other = self._item(join.this, values)
        parts = list(on.flatten()) if isinstance(on, sge.And) else [on] if on else []
        if join.method == "ASOF":
            for part in parts:
                if moments := looks_back(part, values.rows.columns, other.columns):
                    other = other.as_of(*moments)
        condition = values.over(values.rows.beside(other)).all(parts)
        return values.rows.join(other, kind, condition, values.equal(parts, other))

    # ── GROUP BY and SELECT ──────────────────────────────────────────────────────────────────────────

    @cached_property
    def _projections(self) -> dict[str, Any]:
        """The selected values by name. Two values of the same name count as one value that derives from both."""
        found: dict[str, Any] = {}
        for projection in self.select.selects:
            name, value = projection.alias_or_name, projection.unalias()
            found[name] = sge.Tuple(expressions=[found[name], value]) if name in found else value
        return found

    def _projected(self) -> Traces:
        return rules.projected({n: self.values.of(p) for n, p in self._projections.items()}, self._place)

    def _aggregated(self) -> Traces:
        made = {n: self.values.of(p) for n, p in self._projections.items()}
        metrics = {n: t for n, t in made.items() if not self._of_groups(self._projections[n])}
        groups = {n: t for n, t in made.items() if n not in metrics}
        found = self._of_many({**self._groups, **groups}, metrics)
        return {name: found[name] for name in made}

    def _of_many(self, groups: Traces, metrics: Traces) -> Traces:
        return rules.aggregated(groups, metrics, self.values.rows.whole, self._place)

    @cached_property
    def _is_aggregated(self) -> bool:
        clauses = any(self.select.args.get(clause) for clause in ("group", "having"))
        return clauses or any(map(is_aggregate, self.select.selects))

    @cached_property
    def _groups(self) -> Traces:
        return {f"group {number}": self.values.of(key) for number, key in enumerate(self._keys)}

    @cached_property
    def _keys(self) -> list[Any]:
        group = self.select.args.get("group")
        if group is None:
            return []
        if group.args.get("all"):
            return [p for p in self._projections.values() if not is_aggregate(p)]
        return [*group.expressions, *(c for part in self._subtotals for c in part.find_all(sge.Column))]

    @property
    def _subtotals(self) -> list[Any]:
        group = self.select.args.get("group")
        return [part for kind in _SETS for part in group.args.get(kind) or ()] if group else []

    def _of_groups(self, node: Any) -> bool:
        """Return whether a value depends only on the group's keys."""
        if node in self._keys:
            return True
        if isinstance(node, (sge.AggFunc, sge.Column, sge.Anonymous, sge.Window, sge.Query)):
            return False
        return all(map(self._of_groups, node.iter_expressions()))

    @cached_property
    def _place(self) -> rules.Places:
        """Where instants of the input are found in the result."""
        moments = {name: self.values.moment(self._instant(p)) for name, p in self._projections.items()}
        return places(moments, self.values.rows.same)

    def _instant(self, projection: Any) -> Any:
        """Return the value whose instant a projection holds; in a group, the latest one. With subtotals a key may be
        null."""
        if not self._is_aggregated:
            return projection
        if isinstance(projection, sge.Max) and not projection.expressions:
            return projection.this
        return projection if projection in self._keys and not self._subtotals else None

    # ── what else decides whether a row is there ─────────────────────────────────────────────────────

    def _condition(self, values: Values, node: Any) -> Trace:
        own = {"": values.of(node)}
        made = self._of_many(self._groups, own) if self._is_aggregated else rules.projected(own, self._place)
        return made[""]

    def _compared(self) -> Trace:
        """Return the trace of the keys that select rows: of DISTINCT ON, or of a limit of ordered rows."""
        distinct = self.select.args.get("distinct")
        on = distinct.args.get("on") if distinct else None
        order = self.walk.orders[id(self.scope)] = self._order()
        limited = any(self.select.args.get(clause) for clause in ("limit", "offset"))
        return derived([self._rank(on) if on else NOTHING, order if on or limited else NOTHING])

    def _order(self) -> Trace:
        """Return the trace of the ORDER BY keys. Without ORDER BY, the order of the only input query remains."""
        if order := self.select.args.get("order"):
            return self._rank(order)
        sources = [source for _, source in self.scope.selected_sources.values()]
        return self.walk.orders.get(id(sources[0]), NOTHING) if len(sources) == 1 else NOTHING

    def _rank(self, order: Any) -> Trace:
        by_all = order.find(sge.Var)  # the ALL of ORDER BY ALL
        columns = sge.Tuple(expressions=list(self._projections.values())) if by_all else order
        values = replace(self.values, named=self._projections)
        return of_other_rows(self._condition(values, columns), "a limit of ordered rows")
