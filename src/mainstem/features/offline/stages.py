"""Expressions as selects over selects, so that what several of them share is written and computed once.

Ibis expressions are graphs, SQL is a tree: a term used twice in a term used twice is written out four times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import ibis
import ibis.expr.operations as ops

_SMALL = 12
"""Terms of fewer operations are repeated."""


def staged(table: ibis.Table, kept: Iterable[str], values: Mapping[str, Any]) -> ibis.Table:
    """`table`'s columns `kept`, and `values` over its columns."""
    wanted = {name: value.op() for name, value in values.items()}
    shared: dict[Any, str] = {}
    at = table
    for stage in _stages(wanted.values()):
        terms = {f"_shared{number}": op for number, op in enumerate(stage, start=len(shared))}
        at = at.mutate(**exchanged(terms, _columns(table, at, shared)))
        shared |= {op: name for name, op in terms.items()}
    return at.select(*kept, **exchanged(wanted, _columns(table, at, shared)))


def reductions(values: Iterable[Any]) -> list[Any]:
    """The reductions that operations are made of, each once."""
    return [op for op in _terms(values, _is_reduction) if _is_reduction(op)]


def exchanged(wanted: Mapping[str, Any], exchange: Mapping[Any, Any]) -> dict[str, Any]:
    """Operations as values, with some terms in them exchanged for others."""
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
    """For each column of `old`, and each term that has been computed since, its column in `new`."""
    same = {ops.Field(old, name): ops.Field(new, name) for name in old.columns}
    return same | {op: ops.Field(new, name) for op, name in shared.items()}


def _stages(wanted: Iterable[Any]) -> list[list[Any]]:
    """The terms that are used more than once, first those that need none of the others."""
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
    """Whether what is below depends on a parameter, and cannot be computed before."""
    return isinstance(op, (ops.ArrayMap, ops.ArrayFilter))


def _terms(values: Iterable[Any], closed: Callable[[Any], bool]) -> Iterator[Any]:
    """The operations of values, each once and after those below it; nothing below those that are closed."""
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
