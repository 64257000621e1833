"""Nested selects, so that shared expressions are written and computed once.

Ibis expressions are graphs, but SQL is a tree: a term that is used twice within a term that is used twice is written
four times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import ibis
import ibis.expr.operations as ops

from mainstem.graph.named import named

_SMALL = 12
"""Terms with fewer operations are repeated."""


def staged(table: ibis.Table, kept: Iterable[str], values: Mapping[str, Any]) -> ibis.Table:
    """Return `table` with the columns `kept`, and with `values` over its columns."""
    wanted = {name: value.op() for name, value in values.items()}
    shared: dict[Any, str] = {}
    at = table
    for stage in _stages(wanted.values()):
        terms = {f"_shared{number}": op for number, op in enumerate(stage, start=len(shared))}
        at = at.mutate(*named(exchanged(terms, _columns(table, at, shared))))
        shared |= {op: name for name, op in terms.items()}
    return at.select(*kept, *named(exchanged(wanted, _columns(table, at, shared))))


def reductions(values: Iterable[Any]) -> list[Any]:
    """Return the distinct reductions that operations contain."""
    return [op for op in _terms(values, _is_reduction) if _is_reduction(op)]


def exchanged(wanted: Mapping[str, Any], exchange: Mapping[Any, Any]) -> dict[str, Any]:
    """Return operations as values, with some of their terms replaced."""
    new = dict(exchange)

    def renewed(part: Any) -> Any:
        return tuple(map(renewed, part)) if isinstance(part, tuple) else new.get(part, part)

    for op in _terms(wanted.values(), exchange.__contains__):
        if any(new[part] is not part for part in _below(op) if op not in exchange):
            new[op] = op.__recreate__({name: renewed(part) for name, part in zip(op.argnames, op.args, strict=True)})
        else:
            new.setdefault(op, op)
    return {name: new[op].to_expr() for name, op in wanted.items()}


def _columns(old: ibis.Table, new: ibis.Table, shared: Mapping[Any, str]) -> dict[Any, Any]:
    """Map each column of `old`, and each computed term, to its column in `new`."""
    same = {ops.Field(old, name): ops.Field(new, name) for name in old.columns}
    return same | {op: ops.Field(new, name) for op, name in shared.items()}


def _stages(wanted: Iterable[Any]) -> list[list[Any]]:
    """Return the terms that are used more than once, in the order of their dependencies."""
    wanted = list(wanted)
    below = {op: [] if _is_function(op) else _below(op) for op in _terms(wanted, _is_function)}
    users = Counter([*wanted, *(part for parts in below.values() for part in parts)])
    sizes: dict[Any, int] = {}
    depths: dict[Any, int] = {}
    stages: list[list[Any]] = []
    for op, parts in below.items():
        sizes[op] = 1 + sum(sizes[part] for part in parts)
        depths[op] = max((depths[part] for part in parts), default=0)
        if users[op] > 1 and sizes[op] >= _SMALL:
            stages.extend([] for _ in range(depths[op] + 1 - len(stages)))
            stages[depths[op]].append(op)
            sizes[op], depths[op] = 1, depths[op] + 1
    return stages


def _is_reduction(op: Any) -> bool:
    return isinstance(op, ops.Reduction)


def _is_function(op: Any) -> bool:
    """Return whether the terms below depend on a parameter, and cannot be computed before."""
    return isinstance(op, (ops.ArrayMap, ops.ArrayFilter))


def _terms(values: Iterable[Any], closed: Callable[[Any], bool]) -> Iterator[Any]:
    """Yield the distinct operations of values, dependencies first. Closed operations are not descended into."""
    seen: set[Any] = set()
    waiting = [(op, False) for op in values]
    while waiting:
        op, ready = waiting.pop()
        if ready:
            yield op
        elif op not in seen:
            seen.add(op)
            waiting += [(op, True), *((part, False) for part in ([] if closed(op) else _below(op)))]


def _below(op: Any) -> list[Any]:
    flat = [part for arg in op.args for part in (arg if isinstance(arg, tuple) else (arg,))]
    return [] if isinstance(op, ops.Field) else [part for part in flat if isinstance(part, ops.Value)]
