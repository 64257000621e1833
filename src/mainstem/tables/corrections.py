"""Corrections: apply a verb to the rows of a condition, after a check against the table's columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mainstem.graph.named import named
from mainstem.nodes.verbs import ColumnVerb, Verb
from mainstem.tables.conditions import condition
from mainstem.tables.total import total

if TYPE_CHECKING:
    import ibis

    from mainstem.nodes.findings import Rule


def transformed(table: ibis.Table, verb: Verb, where: ibis.Value | None = None, place: str | None = None) -> ibis.Table:
    """Return `table` with a verb applied to the rows of `where`.

    Raises `UnknownName` for a column that the table lacks, and `SchemaError` for a type that the verb does not accept.
    """
    verb.check(table, place)
    return verb.apply(table, where)


def corrected(table: ibis.Table, rules: Sequence[Rule]) -> ibis.Table:
    """Return the table with all remedies applied in order.

    A corrected value that the column's type cannot hold is null.
    Raises `UnknownName` and `SchemaError` as `transformed` does, and `DefinitionError` for an invalid condition.
    """
    for rule in rules:
        changed = corrected_by(table, rule)
        if isinstance(rule.verb, ColumnVerb) and rule.verb.rowwise:
            projection: Any = changed.op()
            changed = table.mutate(*named({rule.verb.column: total(projection.values[rule.verb.column].to_expr())}))
        table = changed
    return table


def corrected_by(table: ibis.Table, rule: Rule) -> ibis.Table:
    """Return the table with one remedy applied; the engine fails on a value that the column's type cannot hold."""
    place = f"remedies.toml, {rule.place}"
    return transformed(table, rule.verb, condition(table, rule.where, place), place)
