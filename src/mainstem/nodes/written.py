"""The definition that made what is published, kept as text: so a plan can show what was changed since."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from tokenize import TokenError
from types import FunctionType
from typing import Any

from mainstem.masking import masked
from mainstem.nodes.base import Node
from mainstem.nodes.definition import Definition
from mainstem.nodes.redaction import redacted
from mainstem.settings import variables

_LONGEST = 50_000
"""Characters of a definition that are kept."""
_UNSAID = frozenset({"name", "origin", "description", "owner", "function", "sql", "inputs", "retries", "contract"})
_SECRET = frozenset({"headers", "params"})
"""Arguments whose values are shown only if they name a variable."""


@dataclass(frozen=True)
class Input:
    """An input of a node as it was: the hash of its own definition, of how it is read, and of what made its data."""

    own: str
    read: str
    made_by: str


@dataclass(frozen=True)
class Written:
    """A node's definition at the time of a run.

    `own` is the hash of the definition without its inputs, `text` its source text or its arguments. `rows` and
    `columns` are hashes of what decides which rows there are, and of each column's expression; both may be empty.
    """

    id: str
    node: str
    own: str
    text: str
    inputs: Mapping[str, Input] = field(default_factory=dict)
    rows: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


def written_id(name: str, made_by: str) -> str:
    """Return the id of the record of the definition with the fingerprint `made_by`."""
    return f"{name} {made_by}"


def text_of(definition: Definition) -> str:
    """Return a definition as its author wrote it: a function, a query, or the arguments of a declaration."""
    node = definition.node
    sql: str | None = getattr(node, "sql", None)
    function = getattr(node, "function", None)
    if isinstance(function, FunctionType):
        text = _source(function)
    elif sql is not None:
        text = "\n".join([*_arguments(node), sql.strip()])
    else:
        text = "\n".join([type(node).__name__, *_arguments(node), *_schema(definition)])
    return redacted(masked(text))[:_LONGEST]


def _source(function: FunctionType) -> str:
    """Return the lines of a function with its decorators, as they were when the project was loaded."""
    lines = linecache.getlines(function.__code__.co_filename)
    block = lines[function.__code__.co_firstlineno - 1 :]
    if not block:
        return f"def {function.__name__}{inspect.signature(function)}: …"
    try:
        return inspect.cleandoc("".join(inspect.getblock(block)))
    except (TokenError, SyntaxError):  # a lambda in the middle of an expression
        return block[0].strip()


def _arguments(node: Node) -> Iterator[str]:
    for each in fields(node):
        value = getattr(node, each.name)
        if each.name in _UNSAID or value is None or (isinstance(value, (str, tuple, Mapping)) and not value):
            continue
        if isinstance(value, Mapping):
            hidden = each.name in _SECRET
            shown = {key: "…" if hidden and not variables(str(item)) else _shown(item) for key, item in value.items()}
            yield from (f"{each.name}.{key} = {text}" for key, text in shown.items())
        elif isinstance(value, tuple) and len(value) > 1 and not all(isinstance(item, str) for item in value):
            yield from (f"{each.name}: {_shown(item)}" for item in value)
        else:
            yield f"{each.name} = {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, Node):
        return value.name or type(value).__name__
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_shown, value))}]"
    return repr(value)


def _schema(definition: Definition) -> Iterator[str]:
    if definition.build is None and definition.read is not None:
        yield from (f"column {name}: {type}" for name, type in (definition.schema or {}).items())
