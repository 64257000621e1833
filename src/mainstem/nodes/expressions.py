"""Resolve what a user wrote (`_.dep_delay > 15`) to an Ibis value over a table, or raise one clear error.

Ibis looks up an attribute of `_` among the methods of its tables first, so `_.limit` and `_.schema` do not refer to
columns of these names. Such expressions are refused here, before Ibis fails with an obscure error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import ibis
from ibis.common.deferred import Attr, Call, Deferred, Item, Just, Resolver, Variable

from mainstem.errors import DefinitionError, SchemaError, UnknownName


def resolve_column(table: ibis.Table, value: Any, where: str | None = None) -> ibis.Value:
    """Return the Ibis value that `value` means over `table`.

    `value` is a deferred expression, a column name, a function of the table, an Ibis value or a plain literal. Raises
    `UnknownName` for an unknown column, and `SchemaError` for an expression that is not a column.
    """
    if isinstance(value, str):
        return table[_known(table, value, where)]
    try:
        found = _resolve(table, value, where)
    except DefinitionError:
        raise
    except Exception as error:
        raise _refused(value, str(error), where) from error
    if not isinstance(found, ibis.Value):
        raise _refused(value, f"a {type(found).__name__}, not a column", where)
    return found


def resolve_boolean(table: ibis.Table, value: Any, where: str | None = None) -> ibis.expr.types.BooleanValue:
    """Resolve a condition as `resolve_column` does. Raises `SchemaError` if it is not boolean."""
    found = resolve_column(table, value, where)
    if not isinstance(found, ibis.expr.types.BooleanValue):
        raise SchemaError(f"{value!r} is not a condition", where=where, got=str(found.type()), expected="boolean")
    return found


def names_in(value: Any) -> frozenset[str]:
    """Return the columns that an expression reads by name: a deferred one, a plain name, or one with `names`."""
    if isinstance(value, str):
        return frozenset({value})
    if not isinstance(value, Deferred):
        return frozenset(getattr(value, "names", ()))
    return frozenset(name for name, how in _mentions(value._resolver) if how != "call")


def _resolve(table: ibis.Table, value: Any, where: str | None) -> Any:
    if isinstance(value, ibis.Value):
        return value
    if isinstance(value, Deferred):
        for name, how in _mentions(value._resolver):
            _reachable(table, name, how, where)
        return value.resolve(table)
    return value(table) if callable(value) else ibis.literal(value)


_How = Literal["attribute", "item", "call"]


def _mentions(resolver: Any) -> Iterator[tuple[str, _How]]:
    """Yield each name that is read from `_`, and how: `_.limit`, `_["limit"]` or `_.limit()`."""
    if isinstance(resolver, (Attr, Item)) and _is_root(resolver.obj):
        yield from _named(resolver, "attribute" if isinstance(resolver, Attr) else "item")
        return
    method = resolver.func if isinstance(resolver, Call) else None
    for child in _children(resolver):
        if child is method and isinstance(child, Attr) and _is_root(child.obj):
            yield from _named(child, "call")
        else:
            yield from _mentions(child)


def _named(resolver: Any, how: _How) -> Iterator[tuple[str, _How]]:
    name = resolver.indexer if how == "item" else resolver.name
    if isinstance(name, Just) and isinstance(name.value, str):
        yield name.value, how


def _is_root(resolver: Any) -> bool:
    return isinstance(resolver, Variable) and resolver.name == "_"


def _children(resolver: Any) -> Iterator[Resolver]:
    for slot in getattr(resolver, "__slots__", ()):
        yield from _resolvers(getattr(resolver, slot, None))


def _resolvers(value: Any) -> Iterator[Resolver]:
    if isinstance(value, Resolver):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _resolvers(part)
    elif hasattr(value, "values"):
        yield from _resolvers(tuple(value.values()))


def _reachable(table: ibis.Table, name: str, how: _How, where: str | None) -> None:
    if how == "attribute" and hasattr(ibis.Table, name):
        hint = f'_["{name}"] reads the column' if name in table.columns else f"_.{name}() calls the method"
        raise SchemaError(f"_.{name} is a method of Ibis tables, not a column", where=where, hint=hint)
    if how != "call":
        _known(table, name, where)


def _known(table: ibis.Table, name: str, where: str | None) -> str:
    if name not in table.columns:
        raise UnknownName.among("column", name, table.columns, where=where)
    return name


def _refused(value: Any, got: str, where: str | None) -> SchemaError:
    hint = '_["name"] reads a column that has the name of a method' if "function" in got or "method" in got else None
    return SchemaError(f"{value!r} does not resolve to a column", where=where, got=got.split("\n")[0], hint=hint)
