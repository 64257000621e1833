"""Fingerprints: a hash of what a definition means, independent of how it is written.

An Ibis expression is hashed by its operations, not by its source text: a reformatted function, a renamed variable or an
edited docstring does not change the hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis

LENGTH = 12

CONSTANT = (str, int, float, bool, bytes, type(None), Decimal, date, datetime, time, timedelta)
"""The types of values that are what they show."""


def digest(*parts: str) -> str:
    """Return a short hash of texts. Their boundaries count: `("ab",)` and `("a", "b")` have different hashes."""
    hasher = hashlib.sha256()
    for part in parts:
        _add(hasher, part)
    return hasher.hexdigest()[:LENGTH]


def _add(hasher: Any, part: str) -> None:
    raw = part.encode()
    hasher.update(len(raw).to_bytes(8, "big") + raw)


def canonical(value: Any) -> str:
    """Return a text that is equal for equal plain values: mappings are sorted by key, sequences keep their order."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key!r}:{canonical(value[key])}" for key in _in_order(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, (set, frozenset)):
        return "{" + ",".join(sorted(map(canonical, value))) + "}"
    if isinstance(value, CONSTANT):
        return repr(value)
    text = repr(value)
    for each in _sets(value):
        text = text.replace(repr(each), canonical(each))
    return text


def _sets(part: Any) -> Iterator[Any]:
    """Yield the sets within an expression that is not resolved yet, as in `_.state.isin({"new", "sold"})`."""
    from ibis.common.deferred import Deferred, Resolver
    from ibis.util import PseudoHashable

    if isinstance(part, (set, frozenset)):
        yield part
    elif isinstance(part, Mapping):
        yield from chain.from_iterable(map(_sets, part.values()))
    elif isinstance(part, (list, tuple)):
        yield from chain.from_iterable(map(_sets, part))
    elif isinstance(part, PseudoHashable):
        yield from _sets(part.obj)
    elif isinstance(part, (Deferred, Resolver)):
        names = chain.from_iterable(getattr(each, "__slots__", ()) for each in type(part).__mro__)
        yield from chain.from_iterable(_sets(object.__getattribute__(part, name)) for name in names if name[:2] != "__")


def _in_order(keys: Iterable[Any]) -> list[Any]:
    try:
        return sorted(keys)
    except TypeError:  # of several types
        return sorted(keys, key=repr)


def of_expression(expression: ibis.Expr) -> str:
    """Return the hash of an unbound Ibis expression: of its operations in dependency order."""
    from ibis.expr.operations import UnboundTable

    numbers: dict[Any, int] = {}
    hasher = hashlib.sha256()

    def visit(node: Any) -> int:
        nonlocal hasher
        if node not in numbers:
            if isinstance(node, UnboundTable) and not numbers:
                hasher = _begun(node).copy()
            else:
                text = _table(node) if isinstance(node, UnboundTable) else operation_text(node, visit)
                _add(hasher, text)
            numbers[node] = len(numbers)
        return numbers[node]

    visit(expression.op())
    return hasher.hexdigest()[:LENGTH]


# A view of 1,000 columns has 1,000 expressions over one table: its schema is written and hashed once, not in each.
@lru_cache(maxsize=64)
def _begun(table: Any) -> Any:
    """Return the hasher of an expression whose first operation is a table. It is to be copied."""
    hasher = hashlib.sha256()
    _add(hasher, _table(table))
    return hasher


@lru_cache(maxsize=64)
def _table(table: Any) -> str:
    return operation_text(table, lambda node: 0)  # a table has no inputs


def operation_text(node: Any, visit: Callable[[Any], int]) -> str:
    """Return an Ibis operation as text. `visit` gives the number of each of its inputs."""
    from ibis.expr.operations import Node

    def describe(value: Any) -> str:
        if isinstance(value, Node):
            return f"#{visit(value)}"
        if isinstance(value, Mapping):
            return "{" + ",".join(f"{k!r}:{describe(v)}" for k, v in value.items()) + "}"
        if isinstance(value, frozenset):
            return "{" + ",".join(sorted(map(describe, value))) + "}"
        if isinstance(value, tuple):
            return "(" + ",".join(map(describe, value)) + ")"
        return repr(value)

    return f"{type(node).__name__}({','.join(map(describe, _meaningful(node)))})"


def of_function(function: FunctionType) -> str:
    """Return the hash of a function's code, with the functions and plain values of its module that it reads."""
    seen: dict[FunctionType, str] = {}

    def visit(each: FunctionType) -> None:
        if each in seen:
            return
        read = _read_by(each)
        plain = {name: value for name, value in read.items() if _is_plain(value)}
        defaults = [value for value in each.__defaults__ or () if _is_plain(value)]
        named = {name: value for name, value in (each.__kwdefaults__ or {}).items() if _is_plain(value)}
        texts = [canonical(plain), canonical(defaults), *([canonical(named)] if named else [])]
        seen[each] = digest(_of_code(each.__code__, each.__doc__), *texts)
        for value in read.values():
            if isinstance(value, FunctionType) and value.__module__ == function.__module__:
                visit(value)

    visit(function)
    return digest(*seen.values())


def _read_by(function: FunctionType) -> dict[str, Any]:
    """Return the values of a function's module and closure by the names that its code has."""
    names = sorted(_names(function.__code__) & function.__globals__.keys())
    found = {name: function.__globals__[name] for name in names}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # the cell is empty
            found[name] = cell.cell_contents
    return found


def _names(code: CodeType) -> set[str]:
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return {*code.co_names, *(name for each in inner for name in _names(each))}


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(_is_plain(each) for pair in value.items() for each in pair)
    return isinstance(value, CONSTANT)


def _of_code(code: CodeType, *but: Any) -> str:
    constants = [_of_code(c) if isinstance(c, CodeType) else canonical(c) for c in code.co_consts if c not in but]
    return digest(code.co_code.hex(), *code.co_names, *constants)


def _meaningful(node: Any) -> list[Any]:
    """Return the arguments that distinguish an operation.

    The number of a self-reference is left out, because it comes from a global counter. The code of a user-defined
    function is included. The values of `isin` have no order.
    """
    kind = type(node).__name__
    names = [name for name in node.argnames if (kind, name) != ("SelfReference", "identifier")]
    function = getattr(node, "__func__", None)
    body = [of_function(function)] if function else []
    values = {name: getattr(node, name) for name in names}
    if kind == "InValues" and all(type(option).__name__ == "Literal" for option in values["options"]):
        # A set of texts has another order in each process.
        values["options"] = tuple(sorted(values["options"], key=lambda option: repr(option.value)))
    return [*values.values(), *body]
