"""`ms.join`: a join that is measured and checked whenever the table that declares it is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import ibis
import ibis.expr.operations as ops

from mainstem.errors import SchemaError
from mainstem.graph.named import named
from mainstem.nodes import joins
from mainstem.nodes.base import Origin, refused
from mainstem.nodes.declared import declared
from mainstem.nodes.joins import Expect
from mainstem.nodes.kinds import a, fraction, optional, word
from mainstem.tables.keys import Keys, check_keys, pairs
from mainstem.tables.similarity import MATCH, Similar, matched


def _keys(name: str, value: Any) -> None:
    """Require columns to join on, by name, or a similarity."""
    if not isinstance(value, Similar):
        pairs(name, value)


def _rname(name: str, value: Any) -> None:
    if not isinstance(value, str) or "{name}" not in value or not _fits(value):
        raise refused(f"`{name}` must make a name of a column's name", value, 'rname="{name}_right"')


@declared(
    left=a(ibis.Table, "an Ibis table"),
    right=a(ibis.Table, "an Ibis table"),
    on=_keys,
    how=word("left", "inner", "right", "outer"),
    expect=optional(word("one_to_one", "many_to_one", "one_to_many", "many_to_many")),
    coverage=optional(fraction),
    severity=word("error", "warn"),
    rname=_rname,
)
def join(
    left: ibis.Table,
    right: ibis.Table,
    on: Keys | Similar,
    how: Literal["left", "inner", "right", "outer"] = "left",
    *,
    expect: Expect | None = None,
    coverage: float | None = None,
    severity: Literal["error", "warn"] = "error",
    rname: str = "{name}_right",
) -> ibis.Table:
    """Join two tables, and check the join whenever the table that declares it is built.

    `on` is a column that both tables have, several of them, a mapping from left to right columns, or
    `ms.similar(…)`. A key with the same name on both sides is one column of the result; another column that both have
    is renamed by `rname`. Rows with a null key have no match.

    The run measures the share of left rows that have a match; it must be at least `coverage`. `expect` limits how many
    rows have a key: in `many_to_one` the right side has one row for each, in `one_to_many` the left, in `one_to_one`
    both. Outside of a table function the tables are joined without a check. Raises `DefinitionError`.
    """
    where = str(Origin.of_caller())
    names = (_name(left), _name(right))
    if isinstance(on, Similar):
        return _join_similar(left, right, on, how, names, where, (expect, coverage, severity), rname)
    keys = pairs("on", on)
    check_keys(left, right, keys, where)
    joins.declare(joins.Join(left, right, keys, keys, names, where, expect, coverage, severity))
    return _joined(left, right, keys, how, rname)


def _joined(left: ibis.Table, right: ibis.Table, keys: Sequence[tuple[str, str]], how: str, rname: str) -> ibis.Table:
    """Return the joined rows, with one column for each key that has the same name on both sides."""
    joined = left.join(right, list(keys), how=how, rname=rname)
    twice = {mine: rname.format(name=mine) for mine, yours in keys if mine == yours}
    # An inner join has one of the two. A column of the left side may have the name of the other.
    twice = {key: other for key, other in twice.items() if other in joined.columns and other not in left.columns}
    if how == "right":
        joined = joined.mutate(*named({key: joined[other] for key, other in twice.items()}))
    elif how == "outer":
        joined = joined.mutate(*named({key: ibis.coalesce(joined[key], joined[other]) for key, other in twice.items()}))
    return joined.drop(*twice.values()) if twice else joined


def _join_similar(
    left: ibis.Table,
    right: ibis.Table,
    on: Similar,
    how: str,
    names: tuple[str, str],
    where: str,
    demands: tuple[Expect | None, float | None, Literal["error", "warn"]],
    rname: str,
) -> ibis.Table:
    if how not in ("left", "inner"):
        raise refused("a join by similarity has no such `how`", how, '"left" or "inner"')
    block = () if on.block is None else pairs("block", on.block)
    text = (on.left, on.right or on.left)
    check_keys(left, right, (text, *block), where)
    for table, column in zip((left, right), text, strict=True):
        if not table[column].type().is_string():
            raise SchemaError(
                f"{column!r} is not a text", where=where, got=str(table[column].type()), expected="string"
            )
    found = matched(left, right, text, block, on)
    keys = ((MATCH, text[1]), *block)
    shown = (text, *block)
    joins.declare(joins.Join(found.rows, right, keys, shown, names, where, *demands, found.compared, on.most_pairs))
    joined = _joined(found.rows, right, keys, how, rname)
    return joined.drop(MATCH)


def _name(table: ibis.Table) -> str:
    """Return the name of the first relation that a table reads."""
    leaves = table.op().find((ops.UnboundTable, ops.DatabaseTable, ops.InMemoryTable))
    return str(leaves[0].name) if leaves else "table"


def _fits(pattern: str) -> bool:
    try:
        return bool(pattern.format(name="a"))
    except (KeyError, IndexError, ValueError):
        return False
