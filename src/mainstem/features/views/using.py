"""The views that a view uses: how its rows look them up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ibis

from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.features.values import logical_type
from mainstem.features.views.view import CompiledView, Lookup
from mainstem.nodes.features import FeatureView, ViewUse

NameOf = Callable[[Any], str]


def lookups(
    node: FeatureView, given: Mapping[str, str], name_of: NameOf, compiled: Callable[[str], CompiledView]
) -> tuple[Lookup, ...]:
    """Return how rows with the columns `given` (and their types) look up the views that `node` uses.

    Keys may be features of earlier lookups. Raises `UnknownName`, `SchemaError` or `DefinitionError` for a missing key
    or for equal names.
    """
    found: list[Lookup] = []
    columns = dict(given)
    for used in node.using:
        name = name_of(used.view)
        lookup = _looked_up(used, compiled(name), used.prefix(name), columns)
        twice = lookup.columns.keys() & columns.keys()
        if twice:
            hint = ".on(…) gives a use of a view its own name"
            raise DefinitionError(f"two columns have the name {min(twice)!r}", hint=hint)
        columns |= {column: feature.type for column, feature in lookup.columns.items()}
        found.append(lookup)
    return tuple(found)


def earlier(column: str, view: str, columns: Iterable[str]) -> str | None:
    """Return the looked-up column that holds a key's value: that name, or `view__column`."""
    found = [c for c in columns if c == column or c.endswith(f"__{column}")]
    if len(found) > 1:
        raise SchemaError(
            f"the key {column!r} of {view!r} is ambiguous",
            got=", ".join(found),
            hint=f'.on("{found[0]}") says which',
        )
    return found[0] if found else None


def _looked_up(used: ViewUse, view: CompiledView, prefix: str, columns: Mapping[str, str]) -> Lookup:
    on = tuple(column if column in columns else earlier(column, view.name, columns) or column for column in used.on)
    for column, kind in zip(on, view.key.values(), strict=True):
        if column not in columns:
            raise UnknownName.among("column", column, columns)
        given = logical_type(ibis.table(dict(columns), name="row")[column], column)
        if given != kind:
            raise SchemaError(f"{column!r} has the wrong type for the key of {view.name!r}", got=given, expected=kind)
    return Lookup(view, on, prefix)
