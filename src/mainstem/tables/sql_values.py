"""The lineage and availability of SQL values, and the meaning of SQLGlot's node types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sqlglot.expressions as sge
from sqlglot.optimizer.scope import Scope

from mainstem.engines.queries import DIALECT
from mainstem.graph.known import Moment
from mainstem.graph.traces import NOTHING, Rows, Trace, Traces, derived, never_said, of_other_rows
from mainstem.graph.units import DAY, HOUR, MILLISECOND, MINUTE, SECOND, WEEK


class Untraceable(Exception):
    """A query contains syntax that has no rule."""


@dataclass(frozen=True)
class Values:
    """Values over the `rows` of a FROM clause, and for a subquery also over those of the `outer` query.

    `query` traces a subquery. `named` are the SELECT's own columns, where a clause may read them by name (ORDER BY).
    """

    query: Callable[[Scope, Values], Traces]
    scope: Scope
    rows: Rows
    outer: Values | None = None
    named: Mapping[str, Any] = field(default_factory=dict)

    def of(self, node: Any) -> Trace:
        match node:
            case sge.Column():
                return self._column(node)
            case sge.TableColumn():  # a whole row as one value
                return derived(t for c, t in self.rows.columns.items() if c.startswith(f"{node.name}."))
            case sge.Window():
                windows = [node, *(self.scope.expression.args.get("windows") or ())]
                read = self.all(part for window in windows for part in window.iter_expressions())
                what = f"a window function over {node.this.sql(DIALECT)}"
                return of_other_rows(read if read.sources else self.rows.whole, what)
            case sge.Query():
                return self._subquery(node)
            case sge.Coalesce() if column := self._one(node):
                return self.of(column)
            case _ if is_drawn(node):
                return never_said(f"{node.sql(DIALECT)} has a different value at each evaluation")
        parts = list(node.iter_expressions())
        if not parts and not isinstance(node, _PLAIN) and not _counts(node):
            raise Untraceable(type(node).__name__.upper())
        return self.all(parts)

    def all(self, nodes: Iterable[Any]) -> Trace:
        return derived(map(self.of, nodes))

    def over(self, rows: Rows) -> Values:
        return replace(self, rows=rows)

    def moment(self, node: Any) -> Moment | None:
        """Return `column ± constant intervals` of the rows; None for any other value."""
        moment = moment_of(self._one(node) or node)
        return moment if moment and moment.column in self.rows.columns else None

    def equal(self, conditions: Iterable[Any], other: Rows) -> Iterator[tuple[str, str]]:
        """Yield the pairs of columns, of these rows and of `other`, that conditions equate."""
        for condition in conditions:
            if isinstance(condition, sge.EQ):
                sides = [moment_of(self._one(side) or side) for side in (condition.this, condition.expression)]
                names = [moment.column if moment and not moment.offset else "" for moment in sides]
                for ours, theirs in (names, names[::-1]):
                    if ours in self.rows.columns and theirs in other.columns:
                        yield ours, theirs

    def _column(self, node: sge.Column) -> Trace:
        name = name_of(node)
        if name in self.rows.columns:
            return self.rows[name]
        if not node.table and node.name in self.named:
            return self.of(self.named[node.name])
        if not node.table and _is_parameter(node):
            return NOTHING
        if self.outer is None:
            raise Untraceable(f"unknown name {node.sql(DIALECT)}")
        return self.outer.of(node)

    def _subquery(self, node: sge.Query) -> Trace:
        inner = node.unnest()
        scope = next((s for s in self.scope.subquery_scopes if s.expression is inner), None)
        if scope is None:
            raise Untraceable(f"a subquery in {type(node.parent).__name__.upper()}")
        return of_other_rows(derived(self.query(scope, self).values()), "a subquery")

    def _one(self, node: Any) -> sge.Column | None:
        """Return the column that represents a COALESCE which SQLGlot made from USING."""
        if not isinstance(node, sge.Coalesce):
            return None
        columns = [node.this, *node.expressions]
        if not all(isinstance(column, sge.Column) for column in columns):
            return None
        for column in columns:
            if all(_reaches(name_of(other), name_of(column), self.rows.same) for other in columns):
                return column  # type: ignore[no-any-return]
        return None


def _counts(node: Any) -> bool:
    """Return whether a node is the star of `count(*)`."""
    return isinstance(node, sge.Star) and isinstance(node.parent, sge.Count)


def name_of(column: sge.Column) -> str:
    return f"{column.table}.{column.name}"


def _reaches(name: str, other: str, same: Mapping[str, str]) -> bool:
    while name != other and name in same:
        name = same[name]
    return name == other


def _is_parameter(column: sge.Column) -> bool:
    """Return whether a name is a parameter of a surrounding lambda or comprehension."""
    around = column.find_ancestor(sge.Lambda, sge.Comprehension)
    while around is not None:
        names = around.expressions if isinstance(around, sge.Lambda) else [around.expression]
        if any(name.name == column.name for name in names):
            return True
        around = around.find_ancestor(sge.Lambda, sge.Comprehension)
    return False


# ── what words mean ───────────────────────────────────────────────────────────────────────────────────

_MICROS = {
    "WEEK": WEEK,
    "DAY": DAY,
    "HOUR": HOUR,
    "MINUTE": MINUTE,
    "SECOND": SECOND,
    "MILLISECOND": MILLISECOND,
    "MICROSECOND": 1,
}


def moment_of(node: Any) -> Moment | None:
    """Return `column ± constant intervals` as a moment, with the column as `table.column`; None for any other value."""
    match node:
        case sge.Paren():
            return moment_of(node.this)
        case sge.Column():
            return Moment(name_of(node))
        case sge.Add() | sge.Sub():
            base, shift = moment_of(node.this), _interval(node.expression)
            if base is not None and shift is not None:
                return Moment(base.column, base.offset + (shift if isinstance(node, sge.Add) else -shift))
    return None


def _interval(node: Any) -> int | None:
    if not isinstance(node, sge.Interval) or not isinstance(node.this, sge.Literal):
        return None
    size = _MICROS.get(str(node.text("unit")).upper().removesuffix("S"))
    try:
        return None if size is None else int(node.this.name) * size
    except ValueError:
        return None


def looks_back(condition: Any, ours: Traces, theirs: Traces) -> tuple[Moment, Moment] | None:
    """Return the two instants of an as-of condition that looks back, theirs and ours: theirs is not later than ours."""
    if isinstance(condition, (sge.GT, sge.GTE)):
        late, early = moment_of(condition.this), moment_of(condition.expression)
    elif isinstance(condition, (sge.LT, sge.LTE)):
        early, late = moment_of(condition.this), moment_of(condition.expression)
    else:
        return None
    return (early, late) if early and late and early.column in theirs and late.column in ours else None


def how(join: sge.Join) -> str:
    """Return the kind of a join in the rules' terms. Raises `Untraceable`."""
    if join.method not in ("", "ASOF") or join.args.get("using"):
        raise Untraceable(f"a {join.method or 'USING'} JOIN")
    if join.kind in ("SEMI", "ANTI"):
        return str(join.kind.lower())
    if join.kind not in ("", "INNER", "OUTER", "CROSS"):
        raise Untraceable(f"a {join.kind} JOIN")
    return {"LEFT": "left", "RIGHT": "right", "FULL": "outer"}.get(join.side, "inner")


def is_aggregate(node: Any) -> bool:
    """Return whether a value is an aggregate. Window functions and subqueries in it do not count."""
    if isinstance(node, (sge.Window, sge.Query)):
        return False
    return isinstance(node, sge.AggFunc) or any(map(is_aggregate, node.iter_expressions()))


_DRAWN: tuple[type[sge.Expr], ...] = (
    *(sge.CurrentDate, sge.CurrentTime, sge.CurrentTimestamp, sge.Localtime, sge.Localtimestamp),
    *(sge.CurrentDatabase, sge.CurrentCatalog, sge.CurrentSchema, sge.CurrentSchemas, sge.CurrentUser, sge.SessionUser),
    *(sge.Rand, sge.Uuid),
)
_DRAWN_NAMES = frozenset(
    (
        *("now", "get_current_timestamp", "transaction_timestamp", "setseed", "uuidv4", "uuidv7"),
        *("current_connection_id", "current_query", "current_query_id", "current_transaction_id", "txid_current"),
        *("current_setting", "getvariable", "in_search_path", "currval", "nextval", "setval"),
        *("error", "sleep_ms", "stats", "vector_type", "write_log"),
    )
)


def is_drawn(node: Any) -> bool:
    """Return whether a function's value depends on more than its arguments: on the clock, chance or a setting."""
    return isinstance(node, _DRAWN) or (isinstance(node, sge.Anonymous) and node.name.lower() in _DRAWN_NAMES)


_PLAIN = (
    *(sge.Literal, sge.Boolean, sge.Null, sge.Identifier, sge.Var, sge.DataType, sge.Interval, sge.Func),
    *(sge.WindowSpec, sge.Array, sge.Tuple, sge.Order),
)
"""Node types that are values on their own, and those that may have no children."""

_CLAUSES = ("where", "group", "having", "qualify", "distinct", "order", "limit", "offset")


def refuse(query: sge.Query) -> None:
    """Raise `Untraceable` for syntax that cannot be traced clause by clause."""
    for node in query.walk():
        match node:
            case sge.Pivot() | sge.Columns() | sge.PositionalColumn() | sge.Lateral() | sge.Placeholder():
                raise Untraceable(f"{type(node).__name__.upper()}")
            case sge.With() if node.recursive:
                raise Untraceable("WITH RECURSIVE")
            case sge.Subquery() if any(node.args.get(clause) for clause in _CLAUSES):
                raise Untraceable(f"a clause after {node.this.sql(DIALECT)} in parentheses")
