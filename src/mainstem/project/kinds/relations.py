"""Relations while a project is resolved: unbound tables, their types, and the columns that a node declares."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mainstem.checks.violations import validate
from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.nodes.checks import ForeignKey
from mainstem.nodes.definition import Graph
from mainstem.nodes.hidden import visible
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.partitions import check_partition
from mainstem.nodes.sources import Source, Stream
from mainstem.nodes.storable import is_storable, unstorable
from mainstem.nodes.tables import Table

if TYPE_CHECKING:
    import ibis


def unbound(name: str, schema: Mapping[str, str]) -> ibis.Table:
    """Return an unbound table of that name and schema."""
    import ibis

    return ibis.table(dict(schema), name=name)


def types_of(table: ibis.Table) -> dict[str, str]:
    """Return the columns of a table with their Ibis types."""
    return {name: str(dtype) for name, dtype in table.schema().items()}


@lru_cache(maxsize=1024)
def _parsed(type: str) -> Any:
    import ibis

    return ibis.dtype(type)


def check_columns(node: Source | Table, schema: Mapping[str, str]) -> None:
    """Refuse a type that cannot be stored, and a key, a time or a check that does not fit the schema.

    Raises `UnknownName` or `SchemaError`.
    """
    for column, type in schema.items():
        if not is_storable(_parsed(type)):
            raise unstorable(column, _parsed(type))
    sort = node.sort if isinstance(node, Table) else ()
    for column in (*node.key, *([node.time] if node.time else []), *sort):
        if column not in schema:
            raise UnknownName.among("column", column, schema)
    is_day = bool(node.time) and schema[str(node.time)] == "date" and not isinstance(node, Stream)
    if node.time and not is_day and not schema[node.time].startswith("timestamp('UTC'"):
        raise SchemaError(
            f"the time {node.time!r} is not an instant",
            got=schema[node.time],
            expected=INSTANT if isinstance(node, Stream) else f"{INSTANT}, or date",
            hint="give it a time zone; a naive timestamp is ambiguous",
        )
    check_partition(node, schema)
    if node.checks:
        validate(unbound("checked", schema), node.checks)


def check_foreign_keys(graph: Graph, kind: type[Source] | type[Table]) -> None:
    """Refuse a foreign key whose target is not a relation, or whose columns are unknown or of unlike types.

    Raises `UnknownName`, `SchemaError` and `DefinitionError`.
    """
    for name, node in graph.of(kind).items():
        for check in node.checks:
            if isinstance(check, ForeignKey):
                _check_foreign_key(graph, name, check)


def _check_foreign_key(graph: Graph, name: str, check: ForeignKey) -> None:
    where = f"{graph[name].where}, {check.label}"
    if isinstance(check.to, str) and check.to not in graph:
        raise UnknownName.among("node", check.to, graph.definitions, where=where)
    target = graph.name_of(check.to)
    schema = graph[target].schema
    if schema is None or not graph[target].is_relation:
        raise DefinitionError(
            f"{target!r} is not a relation", where=where, hint="a foreign key refers to a source or a table"
        )
    if target == name and check.severity == "quarantine" and isinstance(graph[name].node, Source):
        raise DefinitionError(
            "a source cannot set rows aside by a foreign key to itself: it sees only the rows that are new",
            where=where,
            hint=f"severity='error' or 'warn', or declare the check on a table over {name}",
        )
    own, theirs = unbound(name, graph[name].schema or {}), unbound(f"to {target}", visible(schema))
    for column, other in zip(check.columns, check.to_columns, strict=True):
        if other not in theirs.columns:
            raise UnknownName.among(f"column of {target}", other, theirs.columns, where=where)
        ours, yours = own[column].type(), theirs[other].type()
        if not _comparable(own[column], theirs[other]):
            raise SchemaError(
                f"{column!r} is not compared with {other!r} of {target}",
                where=where,
                got=f"{ours} and {yours}",
                expected="columns of one type",
                hint="cast one of them in a table",
            )


def _comparable(one: ibis.Value, other: ibis.Value) -> bool:
    try:
        one == other  # noqa: B015
    except TypeError:
        return False
    return True
