"""When a source's columns become known, from its `known=` and `time=`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from mainstem.errors import SchemaError, UnknownName
from mainstem.graph.known import ALWAYS, Known
from mainstem.graph.lineage import moment_of
from mainstem.nodes.definition import Graph
from mainstem.nodes.expressions import resolve_column
from mainstem.nodes.features import FeatureView
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.sources import Source

if TYPE_CHECKING:
    import ibis


def known_of_source(node: Source, table: ibis.Table, unlocked: Collection[str] = ()) -> dict[str, Known]:
    """Return for each column of a source when it becomes known. Raises `SchemaError` for an invalid `known`.

    A column that tells when other columns become known is an event, not a plan. Unless `known` lists it, it becomes
    known at its own instant. It is a plan if the other columns (`*`) are known before it: they say when it will be.
    `unlocked` are the columns that a run found, and that no one has looked at yet.
    """
    spec = node.known if isinstance(node.known, Mapping) else {"*": node.known}
    unlisted = [column for column in spec if column != "*" and column not in table.columns]
    if unlisted:
        raise UnknownName.among("column", unlisted[0], table.columns)
    rest = _known(spec.get("*"), node, table)
    new = Known.never_said("the column is new; known= says when it becomes known, mainstem source lock accepts it")
    known = {
        column: _known(spec[column], node, table) if column in spec else new if column in unlocked else rest
        for column in table.columns
    }
    for moment in (m for column in spec for m in _known(spec[column], node, table).moments):
        planned = any(other.column == moment.column and other.offset < 0 for other in rest.moments)
        if moment.offset >= 0 and moment.column not in spec and not planned:
            known[moment.column] = Known.at(moment.column)
    return known


def tells_known(graph: Graph) -> bool:
    """Return whether the project says or asks when values become known: by `known=`, `assume_known=`, a view or a
    model with a `prediction_time`."""
    nodes = [definition.node for definition in graph]
    said = any(getattr(node, "known", None) is not None or getattr(node, "assume_known", None) for node in nodes)
    asked = (isinstance(node, FeatureView) or getattr(node, "prediction_time", None) is not None for node in nodes)
    return said or bool(graph.broken) or any(asked)


def _known(spec: Any, node: Source, table: ibis.Table) -> Known:
    if spec is None:
        if node.time is None:
            return Known.never_said('the source has neither a time nor known= (reference data: known="always")')
        if table[node.time].type().is_date():
            return Known.never_said(f"the time {node.time!r} is a date, which does not say when in the day (known=…)")
        return Known.at(node.time)
    if isinstance(spec, str) and spec == "always":
        return ALWAYS
    value = resolve_column(table, spec)
    if not value.type().is_timestamp():
        raise SchemaError("known= is not an instant", got=f"{spec!r}: {value.type()}", expected=INSTANT)
    moment = moment_of(value)
    if moment is None:
        raise SchemaError(
            "unsupported expression in known=",
            got=repr(spec),
            expected="an instant column, perhaps plus or minus a constant interval",
        )
    return Known.at(moment.column, moment.offset)
