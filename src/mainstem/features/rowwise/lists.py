"""Items and length of lists."""

from __future__ import annotations

from typing import Any

import ibis.expr.operations as ops

from mainstem.features.rowwise.core import Compute, Unsupported, compile_value, kind, lift1, lift2, register


def _list(op: Any) -> Compute:
    if kind(op) != "list":
        raise Unsupported(f"the items of {op.dtype}")
    return compile_value(op)


@register(ops.ArrayLength)
def _length(op: Any) -> Compute:
    return lift1(len, _list(op.arg))


@register(ops.ArrayIndex)
def _index(op: Any) -> Compute:
    """Return the item at an index: from 0, or from the end if negative; null outside the list."""
    kind(op)
    return lift2(lambda items, at: items[at] if -len(items) <= at < len(items) else None, *_operands(op))


def _operands(op: Any) -> tuple[Compute, Compute]:
    if kind(op.index) != "int":
        raise Unsupported(f"an item at {op.index.dtype}")
    return _list(op.arg), compile_value(op.index)
