"""Conditions of remedies: a small, safe subset of SQL, compiled to Ibis.

`departed_at >= TIMESTAMPTZ '2013-12-01 05:00:00+00' AND origin IN ('JFK', 'LGA')`: columns compared with constants,
joined by AND, OR and NOT. Other SQL is refused, so a reviewed condition has no hidden effect.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any

import ibis
from sqlglot import expressions as exp
from sqlglot import parse_one
from sqlglot.errors import SqlglotError

from mainstem.errors import DefinitionError, MainstemError, UnknownName
from mainstem.nodes.instants import INSTANT

if TYPE_CHECKING:
    from ibis.expr.types import BooleanValue

_COMPARISONS: dict[type[Any], str] = {
    exp.EQ: "__eq__",
    exp.NEQ: "__ne__",
    exp.GT: "__gt__",
    exp.GTE: "__ge__",
    exp.LT: "__lt__",
    exp.LTE: "__le__",
}


def condition(table: ibis.Table, sql: str, where: str | None = None) -> BooleanValue:
    """Return the condition `sql` on `table` as an Ibis value. Raises `DefinitionError` and `UnknownName`."""

    def refuse(got: str) -> DefinitionError:
        return _refused(sql, got, where)

    try:
        return boolean(parsed(sql, refuse), lambda tree: constant_or_column(table, tree, refuse, where), refuse)
    except MainstemError:
        raise
    except Exception as problem:  # what Ibis raises for a constant that a column is not compared with
        raise refuse(str(problem).split("\n")[0]) from problem


Refuse = Callable[[str], DefinitionError]
"""The error for a part of an expression, given that part."""


def parsed(sql: str, refuse: Refuse) -> Any:
    """Return one expression of SQL as a tree. Raises `DefinitionError`."""
    try:
        return parse_one(sql, dialect="duckdb")
    except SqlglotError as problem:
        raise refuse(str(problem).split("\n")[0]) from None


def instant_sql(moment: datetime) -> str:
    """Return an instant as a constant of a condition."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f").removesuffix(".000000")
    return f"TIMESTAMPTZ '{text}+00'"


def quoted(name: str) -> str:
    """Return a column's name as quoted SQL."""
    plain = name.isidentifier() and name.islower()
    return name if plain else exp.to_identifier(name, quoted=True).sql(dialect="duckdb")


def boolean(tree: Any, value: Callable[[Any], Any], refuse: Refuse) -> BooleanValue:
    """Compile comparisons that are joined by AND, OR and NOT. `value` compiles the compared parts."""

    def inner(part: Any) -> BooleanValue:
        return boolean(part, value, refuse)

    match tree:
        case exp.Paren():
            return inner(tree.this)
        case exp.And() | exp.Or():
            return reduce(and_ if isinstance(tree, exp.And) else or_, map(inner, (tree.left, tree.right)))
        case exp.Not():
            return ~inner(tree.this)
        case exp.Boolean():
            return ibis.literal(bool(tree.this))
        case exp.Is() if isinstance(tree.expression, exp.Null):
            return value(tree.this).isnull()
        case exp.In() if tree.expressions:
            return value(tree.this).isin([value(each) for each in tree.expressions])
        case exp.Between():
            compared, low, high = (value(tree.args[part]) for part in ("this", "low", "high"))
            return compared.between(low, high)
        case exp.Binary() if type(tree) in _COMPARISONS:
            return getattr(value(tree.left), _COMPARISONS[type(tree)])(value(tree.right))
    raise refuse(tree.sql(dialect="duckdb"))


def constant_or_column(table: ibis.Table, tree: Any, refuse: Refuse, where: str | None) -> Any:
    """Compile a column of the table, or a constant. Raises `UnknownName` and `DefinitionError`."""
    match tree:
        case exp.Column():
            if tree.name not in table.columns:
                raise UnknownName.among("column", tree.name, table.columns, where=where)
            return table[tree.name]
        case exp.Literal():
            return ibis.literal(tree.this if tree.is_string else _number(tree.this))
        case exp.Neg() if isinstance(tree.this, exp.Literal):
            return ibis.literal(-_number(tree.this.this))
        case exp.Cast() if isinstance(tree.this, exp.Literal) and tree.to.this in exp.DataType.TEMPORAL_TYPES:
            return ibis.literal(_instant(tree.this.this, refuse), INSTANT)
    raise refuse(tree.sql(dialect="duckdb"))


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _instant(text: str, refuse: Refuse) -> datetime:
    try:
        moment = datetime.fromisoformat(text if ":" in text else f"{text} 00:00:00+00")
    except ValueError:
        raise refuse(f"{text!r} is not an instant") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _refused(sql: str, got: str, where: str | None) -> DefinitionError:
    return DefinitionError(
        f"unsupported condition {sql!r} of a remedy",
        where=where,
        got=got,
        expected="columns compared with constants, joined by AND, OR and NOT",
        hint="departed_at >= TIMESTAMPTZ '2013-12-01 05:00:00+00'",
    )
