"""Text functions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import ibis.expr.operations as ops

from mainstem.features.rowwise.core import (
    Compute,
    Row,
    Unsupported,
    by_engine,
    compile_value,
    kind,
    lift1,
    lift2,
    register,
)

_BLANKS = " \t\n\r\v\f"


def _texts(*args: Any) -> list[Compute]:
    if any(kind(arg) not in ("string", "null") for arg in args):
        raise Unsupported(f"text functions of {', '.join(str(arg.dtype) for arg in args)}")
    return [compile_value(arg) for arg in args]


@register(ops.Lowercase, ops.Uppercase)
def _change_case(op: Any) -> Compute:
    lower = isinstance(op, ops.Lowercase)
    plain = str.lower if lower else str.upper
    # Beyond ASCII, Python's case mapping (ß → SS) is not DuckDB's (ß → ẞ).
    other = by_engine("lower(?)" if lower else "upper(?)")
    return lift1(lambda v: plain(v) if v.isascii() else other(v), *_texts(op.arg))


@register(ops.StringLength)
def _length(op: Any) -> Compute:
    return lift1(len, *_texts(op.arg))


_STRIPS: dict[type[ops.Node], Callable[[str, str], str]] = {
    ops.Strip: str.strip,
    ops.LStrip: str.lstrip,
    ops.RStrip: str.rstrip,
}


@register(*_STRIPS)
def _strip(op: Any) -> Compute:
    strip = _STRIPS[type(op)]
    return lift1(lambda v: strip(v, _BLANKS), *_texts(op.arg))


@register(ops.StringContains)
def _contains(op: Any) -> Compute:
    return lift2(operator.contains, *_texts(op.haystack, op.needle))


@register(ops.StartsWith)
def _starts(op: Any) -> Compute:
    return lift2(str.startswith, *_texts(op.arg, op.start))


@register(ops.EndsWith)
def _ends(op: Any) -> Compute:
    return lift2(str.endswith, *_texts(op.arg, op.end))


@register(ops.StringConcat)
def _concat(op: Any) -> Compute:
    parts = _texts(*op.arg)

    def compute(row: Row) -> str | None:
        values = [part(row) for part in parts]
        return None if None in values else "".join(values)

    return compute
