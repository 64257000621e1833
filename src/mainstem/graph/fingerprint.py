"""Fingerprints: a hash of what a definition means, independent of how it is written.

An Ibis expression is hashed by its operations, not by its source text: a reformatted function, a renamed variable or an
edited docstring does not change the hash.
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
    """Return a short hash of texts. Their boundaries count: `("ab",)` and `("a", "b")` have different hashes."""
    hasher = hashlib.sha256()
    for part in parts:
        raw = part.encode()
        hasher.update(len(raw).to_bytes(8, "big") + raw)
    return hasher.hexdigest()[:LENGTH]


def canonical(value: Any) -> str:
    """Return a text that is equal for equal plain values: mappings are sorted by key, sequences keep their order."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key!r}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, (set, frozenset)):
        return "{" + ",".join(sorted(map(canonical, value))) + "}"
    return repr(value)


def of_expression(expression: ibis.Expr) -> str:
    """Return the hash of an unbound Ibis expression: of its operations in dependency order."""
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
    """Return the hash of a function's code: its instructions, names and constants."""
    return _of_code(function.__code__, function.__doc__)


def _of_code(code: CodeType, *but: Any) -> str:
    constants = [_of_code(c) if isinstance(c, CodeType) else canonical(c) for c in code.co_consts if c not in but]
    return digest(code.co_code.hex(), *code.co_names, *constants)


def _meaningful(node: Any) -> list[Any]:
    """Return the arguments that distinguish an operation.

    The number of a self-reference is left out, because it comes from a global counter. The code of a user-defined
    function is included.
    """
    names = [name for name in node.argnames if (type(node).__name__, name) != ("SelfReference", "identifier")]
    function = getattr(node, "__func__", None)
    body = [of_function(function)] if function else []
    return [*(getattr(node, name) for name in names), *body]
