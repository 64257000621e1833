"""Queries as Spark SQL. A relation may have any name: each is a temporary view with a plain name of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import sqlglot as sg
import sqlglot.expressions as sge

from mainstem.engines.queries import DIALECT, read_by
from mainstem.errors import EngineError, close_matches

TARGET = "spark"

_NAMED = {"epoch_us": "unix_micros", "epoch_ms": "unix_millis", "epoch": "unix_seconds"}
"""DuckDB's functions that SQLGlot 30 does not know, and Spark's with the same meaning."""


def translated(text: str, views: Mapping[str, str]) -> str:
    """Return a SELECT in DuckDB's dialect as Spark SQL over `views`, which maps names of relations to views.

    Raises `EngineError` for what Spark has no equal of.
    """
    return str(over(meant(text.strip().rstrip(";")), views).sql(dialect=TARGET))


def meant(text: str) -> Any:
    """Return SQL in DuckDB's dialect in a form that means the same on Spark. Raises `EngineError` for what Spark has no
    equal of."""
    tree = sg.parse_one(text, read=DIALECT)
    _refuse_ordered(tree)
    for each in list(tree.find_all(sge.ArrayAgg)):
        _with_nulls(each)
    return tree.transform(_meant)


def over(tree: Any, views: Mapping[str, str]) -> Any:
    """Return a query with each relation in the place of its name. Raises `EngineError` for an unknown one."""
    _refuse_ordered(tree)
    for each in list(tree.find_all(sge.ArrayAgg)):
        tree = _null_if_empty(tree, each)
    for each in list(tree.find_all(sge.RegexpReplace)):
        _by_dollar(each)
    for table in read_by(tree):
        if not isinstance(table.this, sge.Identifier):
            continue  # a function such as range(3)
        name = ".".join(part.name for part in table.parts)
        if (view := views.get(name) or _alike(name, views)) is None:
            raise EngineError(
                f"the query reads {name}, which does not exist",
                where=name,
                expected=f"one of {', '.join(sorted(views))}" if views else "no relation",
                hint=close_matches(name, views),
            )
        alias = table.alias or table.name
        for part in ("db", "catalog"):
            table.set(part, None)
        table.set("this", sg.to_identifier(view))
        if table.args.get("alias") is None:
            table.set("alias", sge.TableAlias(this=sg.to_identifier(alias, quoted=True)))
    return tree


def _by_dollar(replace: Any) -> None:
    r"""Write a reference to a group as Java does: `$1` instead of `\1`. A dollar of the text is one."""
    text = replace.args.get("replacement")
    if isinstance(text, sge.Literal) and text.is_string:
        java = re.sub(r"\\(\d)", r"$\1", text.this.replace("$", "\\$"))
        replace.set("replacement", sge.Literal.string(java))


def _alike(name: str, views: Mapping[str, str]) -> str | None:
    """Return the view of a name in another case. Names of relations that differ in case only are refused."""
    return next((view for each, view in views.items() if each.lower() == name.lower()), None)


def _meant(node: Any) -> Any:
    """Return a part of a query in a form that means on Spark what it means on DuckDB."""
    match node:
        case sge.Div():  # of decimals, Spark keeps six digits
            node.set("this", _fraction(node.this))
        case sge.Avg() if isinstance(node.this, sge.Distinct):
            node.this.set("expressions", [_fraction(each) for each in node.this.expressions])
        case sge.Avg():
            node.set("this", _fraction(node.this))
        case sge.PercentileCont() if node.expression is not None:
            return sge.Anonymous(this="percentile", expressions=[node.this, node.expression])
        case sge.DayOfWeekIso():
            return sge.paren(sge.func("weekday", node.this, dialect=TARGET) + 1)
        case sge.Bracket() if len(node.expressions) == 1 and not isinstance(node.expressions[0], sge.Slice):
            (place,) = node.expressions
            if not place.is_string:  # a field of a struct, or a key of a map
                # SQLGlot counts from 0 after it has read DuckDB's places, which count from 1.
                return sge.Anonymous(this="try_element_at", expressions=[node.this, _from_one(place, node)])
        case sge.Anonymous() if node.name.lower() in _NAMED:
            return sge.Anonymous(this=_NAMED[node.name.lower()], expressions=node.expressions)
    return node


def _fraction(value: Any) -> Any:
    """Return a value as one that is computed with as a fraction, if it is a number."""
    return sge.paren(sge.Mul(this=sge.paren(value.copy()), expression=sge.Literal.number("1E0")))


def _with_nulls(node: Any) -> None:
    """Let a list have the nulls among its values, which Spark leaves out."""
    distinct = isinstance(node.this, sge.Distinct)
    value = node.this.expressions[0] if distinct else node.this
    boxed = sge.func("struct", value.as_("x"))
    node.set("this", sge.Distinct(expressions=[boxed]) if distinct else boxed)
    node.set("boxed", True)


def _null_if_empty(tree: Any, node: Any) -> Any:
    """Return the tree with null for a list of no values, which is empty on Spark."""
    whole = node
    while isinstance(whole.parent, (sge.Filter, sge.Window)) and whole.arg_key == "this":
        whole = whole.parent
    form = "get(filter(array(transform(_, s -> s.x)), l -> size(l) > 0), 0)"
    form = form if node.args.pop("boxed", False) else "get(filter(array(_), l -> size(l) > 0), 0)"
    made = sg.parse_one(form, read=TARGET)
    place = next(each for each in made.find_all(sge.Column) if each.name == "_")
    place.replace(whole.copy())
    if whole is tree:
        return made
    whole.replace(made)
    return tree


def _from_one(place: Any, node: Any) -> Any:
    return place if node.args.get("offset") else sge.paren(place.copy()) + 1


def _refuse_ordered(tree: Any) -> None:
    """Refuse an order within an aggregate function: Spark's functions have none, and its translation drops it."""
    for order in tree.find_all(sge.Order):
        if isinstance(order.parent, sge.AggFunc) and not isinstance(order.parent, sge.WithinGroup):
            name = order.parent.sql_name().lower()
            raise EngineError(
                f"Spark has no order within {name}()",
                got=order.parent.sql(dialect=DIALECT)[:200],
                expected="an aggregation that does not depend on an order",
                hint="take the row you want by row_number() in a table before, or use argmin() and argmax()",
            )
