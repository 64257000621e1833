"""Guards of remedies: as small and safe a part of SQL as conditions, with aggregates, compiled to Ibis.

`median(abs(nullif(dep_delay, 0))) BETWEEN 1.5 AND 31`: aggregates of columns compared with constants. A reviewed file
cannot do more than it says: there are no statements, no sub-queries, and no functions beside those named here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import add, mod, mul, sub, truediv
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.operations as ops
from sqlglot import expressions as exp

from mainstem.errors import DefinitionError
from mainstem.tables.conditions import boolean, constant_or_column, parsed

if TYPE_CHECKING:
    from ibis.expr.types import BooleanScalar

_OPERATORS: dict[type[Any], Callable[[Any, Any], Any]] = {
    exp.Add: add,
    exp.Sub: sub,
    exp.Mul: mul,
    exp.Div: truediv,
    exp.Mod: mod,
}

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": lambda x: x.abs(),
    "ceil": lambda x: x.ceil(),
    "coalesce": lambda *values: ibis.coalesce(*values),
    "floor": lambda x: x.floor(),
    "length": lambda x: x.length(),
    "ln": lambda x: x.ln(),
    "lower": lambda x: x.lower(),
    "nullif": lambda x, other: x.nullif(other),
    "round": lambda x, *digits: x.round(*digits),
    "sqrt": lambda x: x.sqrt(),
    "trim": lambda x: x.strip(),
    "upper": lambda x: x.upper(),
}

_AGGREGATES: dict[str, Callable[..., Any]] = {
    "avg": lambda x: x.mean(),
    "max": lambda x: x.max(),
    "mean": lambda x: x.mean(),
    "median": lambda x: x.median(),
    "min": lambda x: x.min(),
    "quantile_cont": lambda x, share: x.quantile(share),
    "stddev": lambda x: x.std(how="sample"),
    "stddev_samp": lambda x: x.std(how="sample"),
    "sum": lambda x: x.sum(),
}


def guard(table: ibis.Table, sql: str, where: str | None = None) -> BooleanScalar:
    """Return the guard `sql` on all rows of `table` as an Ibis aggregation, true if it holds.

    A condition without an aggregate must hold in every row. Raises `DefinitionError` and `UnknownName`.
    """

    def refuse(got: str) -> DefinitionError:
        return _refused(sql, got, where)

    value = partial(_value, table, refuse=refuse, where=where)
    tree = parsed(sql, refuse)
    try:
        held: Any = boolean(tree, value, refuse)
    except DefinitionError:
        raise
    except Exception as problem:  # what Ibis raises for a type that a function does not take
        raise refuse(str(problem).split("\n")[0]) from problem
    if not held.op().find(ops.Reduction):
        return held.all() if held.op().shape.is_columnar() else held & (table.count() >= 0)
    if held.op().shape.is_columnar():
        raise refuse("a column beside an aggregate")
    return held


def _value(table: ibis.Table, tree: Any, *, refuse: Callable[[str], DefinitionError], where: str | None) -> Any:
    def inner(part: Any) -> Any:
        return _value(table, part, refuse=refuse, where=where)

    match tree:
        case exp.Paren():
            return inner(tree.this)
        case exp.Neg() if not isinstance(tree.this, exp.Literal):
            return -inner(tree.this)
        case exp.Binary() if type(tree) in _OPERATORS:
            return _OPERATORS[type(tree)](inner(tree.left), inner(tree.right))
        case exp.Count():
            return _counted(table, tree, inner, refuse)
        case exp.Func() if (function := _function(tree)) is not None:
            return function(*map(inner, _arguments(tree)))
    return constant_or_column(table, tree, refuse, where)


def _counted(table: ibis.Table, tree: exp.Count, inner: Callable[[Any], Any], refuse: Any) -> Any:
    match tree.this:
        case exp.Star() | None:
            return table.count()
        case exp.Distinct() if len(tree.this.expressions) == 1:
            return inner(tree.this.expressions[0]).nunique()
        case exp.Column():
            return inner(tree.this).count()
    raise refuse(tree.sql(dialect="duckdb"))


def _function(tree: exp.Func) -> Callable[..., Any] | None:
    known = {**_FUNCTIONS, **_AGGREGATES}
    return known.get(_name(tree))


def _name(tree: exp.Func) -> str:
    if isinstance(tree, exp.Anonymous):
        return str(tree.name).lower()
    return "quantile_cont" if isinstance(tree, exp.PercentileCont) else str(tree.sql_name()).lower()


def _arguments(tree: exp.Func) -> Sequence[Any]:
    if isinstance(tree, exp.Anonymous):
        return list(tree.expressions)
    found = [value for value in tree.args.values() if isinstance(value, (list, exp.Expression))]
    return [part for value in found for part in (value if isinstance(value, list) else [value])]


def _refused(sql: str, got: str, where: str | None) -> DefinitionError:
    return DefinitionError(
        f"{sql!r} is not a guard",
        where=where,
        got=got,
        expected=f"{', '.join(sorted([*_AGGREGATES, 'count']))} of columns, compared with constants; within them "
        f"{', '.join(sorted(_FUNCTIONS))}, and + - * / %",
        hint="median(abs(nullif(dep_delay, 0))) BETWEEN 1.5 AND 31",
    )
