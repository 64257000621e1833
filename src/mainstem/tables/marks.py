"""What each column of a table depends on: its expression or SQL, then its verbs and its quarantine checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import sqlglot as sg
import sqlglot.expressions as sge

from mainstem.engines.queries import DIALECT, SqlQuery
from mainstem.graph.columns import Combine, Leaf, Marks, marks
from mainstem.graph.known import ALWAYS
from mainstem.graph.traces import Trace
from mainstem.nodes.definition import Definition
from mainstem.nodes.verbs import Verb
from mainstem.tables import sql_lineage

M = TypeVar("M")

_COMPARING = (sge.SetOperation, sge.Distinct, sge.Star, sge.Pivot, sge.Unnest)
"""Syntax with which a column may decide about rows without being named."""


def marks_of(definition: Definition, leaf: Leaf[M], combine: Combine[M]) -> Marks[M]:
    """Return the marks of a table, given those of the stored relations that it reads."""
    raw = definition.build if definition.raw is None else definition.raw
    assert raw is not None
    found = marks(raw, leaf, combine, partial(_of_sql, combine=combine))
    for verb in definition.clean:
        found = _cleaned(found, verb, combine)
    for check in getattr(definition.node, "checks", ()):
        if check.severity == "quarantine":
            read = [mark for name, mark in found.columns.items() if name in repr(check)]
            found = Marks(combine(repr(check), [found.rows, *read]), found.columns)
    return found


def _cleaned(before: Marks[M], verb: Verb, combine: Combine[M]) -> Marks[M]:
    read = [before.columns[name] for name in verb.columns if name in before.columns]
    text = f"{verb.kind} {verb.settings}"
    drops = verb.on_invalid in ("quarantine", "fail") or not (verb.rowwise or verb.fitted)
    rows = combine(text, [before.rows, *read]) if drops else before.rows
    return Marks(rows, {**before.columns, **dict.fromkeys(verb.changed, combine(text, read))})


# ── SQL ───────────────────────────────────────────────────────────────────────────────────────────────


def _of_sql(op: Any, of: Callable[[Any], Marks[M]], combine: Combine[M]) -> Marks[M] | None:
    """Return the marks of a query; None for another operation."""
    if not isinstance(op, SqlQuery):
        return None
    query = sg.parse_one(op.query, read=DIALECT)
    inputs = {name: of(relation) for name, relation in zip(op.names, op.inputs, strict=True)}
    whole = [mark for each in inputs.values() for mark in each.whole]
    if not isinstance(query, sge.Select):
        mark = combine(op.query, whole)
        return Marks(mark, dict.fromkeys(op.schema, mark))
    read = [each.rows for each in inputs.values()]
    deciding = list(_deciding(query, {name: dict(each.columns) for name, each in inputs.items()}))
    rest = query.copy()
    rest.set("expressions", [])
    rows = combine(rest.sql(DIALECT), whole if None in deciding else [*read, *(m for m in deciding if m is not None)])
    return Marks(rows, _values(query, tuple(op.schema), inputs, combine))


def _values(
    query: sge.Select, columns: Sequence[str], inputs: Mapping[str, Marks[M]], combine: Combine[M]
) -> dict[str, M]:
    def leaf(name: str) -> dict[str, Trace]:
        return {column: Trace(frozenset({f"{name}.{column}"}), ALWAYS) for column in inputs[name].columns}

    named = {name: list(each.columns) for name, each in inputs.items()}
    traces = sql_lineage.trace(query, named, leaf, columns)
    texts = [each.sql(DIALECT) for each in query.expressions]
    plain = len(texts) == len(columns) and not any(each.is_star for each in query.expressions)
    known = {f"{name}.{column}": mark for name, each in inputs.items() for column, mark in each.columns.items()}
    whole = [mark for each in inputs.values() for mark in each.whole]
    found = {}
    for position, column in enumerate(columns):
        trace = traces[column]
        lost = trace.known.unknown and not trace.sources
        parts = whole if lost else [known[source] for source in sorted(trace.sources)]
        found[column] = combine(texts[position] if plain else column, parts)
    return found


def _deciding(query: Any, inputs: Mapping[str, Mapping[str, M]]) -> Iterator[M | None]:
    """Yield the marks of the columns that decide which rows there are; None if that may be any."""
    columns: dict[str, list[M | None]] = {}
    for each in inputs.values():
        for name, mark in each.items():
            columns.setdefault(name.lower(), []).append(mark)
    for node in query.walk():
        if _is_value(node, query):
            continue
        if isinstance(node, sge.Column):
            yield from columns.get(node.name.lower(), (None,))
        elif isinstance(node, _COMPARING) or (isinstance(node, sge.Group) and _is_by_position(node)):
            yield None


def _is_by_position(group: sge.Group) -> bool:
    return bool(group.args.get("all")) or any(not isinstance(each, sge.Column) for each in group.expressions)


def _is_value(node: Any, query: Any) -> bool:
    """Return whether a part of the query is in the list of a SELECT, of this one or of one of its subqueries."""
    while node is not query and node.parent is not None:
        if isinstance(node.parent, sge.Select) and node.arg_key == "expressions":
            return True
        node = node.parent
    return node is query
