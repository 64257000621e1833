"""Views and tables that an offer reads beside the rows that it offers, by fields of the request and of candidates."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from mainstem.errors import SchemaError, UnknownName
from mainstem.features.retrieval import compiled, plain
from mainstem.features.views.view import Lookup
from mainstem.nodes.definition import Graph
from mainstem.nodes.hidden import visible


def lookup_of(graph: Graph, view: str, fields: Mapping[str, str], where: str) -> Lookup:
    """Return the lookup of a view by fields (name → Ibis type). Raises `UnknownName` and `SchemaError`."""
    found = compiled(graph, view)
    _check_key(view, found.key, fields, where)
    return Lookup(found, tuple(found.key), view)


def key_of(graph: Graph, table: str, fields: Mapping[str, str], where: str) -> tuple[str, ...]:
    """Return the key of a table, all of whose columns are fields. Raises `UnknownName` and `SchemaError`."""
    schema = visible(graph[table].schema or {})
    key = tuple(getattr(graph[table].node, "key", ()))
    if not key:
        raise SchemaError(f"{table!r} has no key", where=where, expected='a table with key=["viewer", "movie"], say')
    _check_key(table, {column: plain(schema[column]) for column in key}, fields, where)
    return key


def _check_key(name: str, key: Mapping[str, str], fields: Mapping[str, str], where: str) -> None:
    for column, kind in key.items():
        if column not in fields:
            raise UnknownName.among(
                "field", column, fields, of=f"the request, which the key of {name!r} has", where=where
            )
        if fields[column] != kind:
            what = f"the field {column!r} has the wrong type for the key of {name!r}"
            raise SchemaError(what, where=where, got=fields[column], expected=kind)


def lists_of(column: Any) -> list[list[Any] | None]:
    """Return a column of lists as requests hold them, with elements as `values_of` has them."""
    import pyarrow.compute as pc

    elements = iter(values_of(pc.list_flatten(column)))
    sizes = pc.list_value_length(column).to_pylist()
    return [None if size is None else [*islice(elements, size)] for size in sizes]


def values_of(column: Any) -> list[Any]:
    """Return a column of Arrow as rows of requests hold it: instants as int µs, dates as text, decimals as floats."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
    elif pa.types.is_date(column.type):
        column = column.cast(pa.string())
    elif pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    values: list[Any] = column.to_pylist()
    return values
