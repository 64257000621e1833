"""Fingerprints: a hash of what a definition means, blind to how it is written.

An Ibis expression is hashed through its operations, not its source text, so that reformatting a function,
renaming its variables or editing its docstring changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis

LENGTH = 12


def digest(*parts: str) -> str:
    """A short hash of texts; their borders count, so `("ab",)` and `("a", "b")` differ."""
    hasher = hashlib.sha256()
    for part in parts:
        raw = part.encode()
        hasher.update(len(raw).to_bytes(8, "big") + raw)
    return hasher.hexdigest()[:LENGTH]


def canonical(value: Any) -> str:
    """A text that is equal iff two plain values are: mappings by sorted key, sequences in order."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key!r}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, (set, frozenset)):
        return "{" + ",".join(sorted(map(canonical, value))) + "}"
    return repr(value)


def of_expression(expression: ibis.Expr) -> str:
    """The hash of an unbound Ibis expression: its operations, in the order they depend on each other."""
    from ibis.expr.operations import Node

    numbers: dict[Node, int] = {}
    parts: list[str] = []

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

    def visit(node: Node) -> int:
        if node not in numbers:
            arguments = ",".join(map(describe, _meaningful(node)))
            numbers[node] = len(numbers)
            parts.append(f"{type(node).__name__}({arguments})")
        return numbers[node]

    visit(expression.op())
    return digest(*parts)


def of_function(function: FunctionType) -> str:
    """The hash of what a function does: its instructions, with the names and constants in them."""
    return _of_code(function.__code__, function.__doc__)


def _of_code(code: CodeType, *but: Any) -> str:
    constants = [_of_code(c) if isinstance(c, CodeType) else canonical(c) for c in code.co_consts if c not in but]
    return digest(code.co_code.hex(), *code.co_names, *constants)


def _meaningful(node: Any) -> list[Any]:
    """What distinguishes an operation: its arguments but a self-reference's number, drawn from a global counter; and
    a user-defined function's body."""
    names = [name for name in node.argnames if (type(node).__name__, name) != ("SelfReference", "identifier")]
    function = getattr(node, "__func__", None)
    body = [of_function(function)] if function else []
    return [*(getattr(node, name) for name in names), *body]
