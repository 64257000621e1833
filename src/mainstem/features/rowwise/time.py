"""Functions of instants: int µs, UTC."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import date
from typing import Any

import ibis.expr.operations as ops

from mainstem.features.rowwise.core import (
    Compute,
    Unsupported,
    compile_value,
    kind,
    lift1,
    lift2,
    numeric,
    register,
    unit_of,
    whole,
)
from mainstem.graph.units import DAY, HOUR, IBIS_UNITS, MINUTE, SECOND
from mainstem.nodes.instants import instant_of

_EARLIEST, _LATEST = -9_223_372_022_400_000_000, 2**63 - 2
"""The ends of DuckDB's timestamps (µs)."""

_PARTS = {"second": "s", "s": "s", "minute": "m", "hour": "h", "h": "h", "day": "D", "d": "D"}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _instants(*args: Any) -> list[Compute]:
    if any(kind(arg) != "time" for arg in args):
        raise Unsupported(f"time functions of {', '.join(str(arg.dtype) for arg in args)}")
    return [compile_value(arg) for arg in args]


_CLOCK: dict[type[ops.Node], Callable[[int], Any]] = {
    # as a double, rounded half to even, like a cast of EPOCH()
    ops.ExtractEpochSeconds: lambda t: round(t / SECOND),
    ops.ExtractHour: lambda t: t // HOUR % 24,
    ops.ExtractMinute: lambda t: t // MINUTE % 60,
    ops.ExtractSecond: lambda t: t // SECOND % 60,
    ops.DayOfWeekIndex: lambda t: (t // DAY + 3) % 7,
    ops.DayOfWeekName: lambda t: _DAYS[(t // DAY + 3) % 7],
    ops.ExtractDay: lambda t: instant_of(t).day,
    ops.ExtractMonth: lambda t: instant_of(t).month,
    ops.ExtractYear: lambda t: instant_of(t).year,
    ops.ExtractDayOfYear: lambda t: instant_of(t).timetuple().tm_yday,
}


_CALENDAR: dict[type[ops.Node], Callable[[date], int]] = {
    ops.DayOfWeekIndex: date.weekday,
    ops.ExtractDay: lambda day: day.day,
    ops.ExtractMonth: lambda day: day.month,
    ops.ExtractYear: lambda day: day.year,
    ops.ExtractDayOfYear: lambda day: day.timetuple().tm_yday,
}
"""Parts of a date. Rows hold dates as ISO 8601 text."""


@register(*_CLOCK)
def _clock(op: Any) -> Compute:
    if isinstance(op.arg, ops.Field) and op.arg.dtype.is_date() and type(op) in _CALENDAR:
        part, name = _CALENDAR[type(op)], op.arg.name
        return lift1(lambda text: part(date.fromisoformat(text)), lambda row: row[name])
    return lift1(_CLOCK[type(op)], *_instants(op.arg))


@register(ops.IntervalFromInteger)
def _interval(op: Any) -> Compute:
    unit = unit_of(op.unit.short)
    return lift1(lambda v: whole(v * unit), *numeric(op.arg))


@register(ops.TimestampAdd, ops.TimestampSub)
def _shift(op: Any) -> Compute:
    function = operator.add if isinstance(op, ops.TimestampAdd) else operator.sub
    if kind(op.right) != "interval":
        raise Unsupported(f"{type(op).__name__} of {op.right.dtype}")
    (left,) = _instants(op.left)
    return lift2(lambda a, b: _instant(function(a, b)), left, compile_value(op.right))


def _instant(value: int) -> int | None:
    return value if _EARLIEST <= value <= _LATEST else None


@register(ops.TimestampDiff)
def _difference(op: Any) -> Compute:
    return lift2(operator.sub, *_instants(op.left, op.right))


@register(ops.TimestampDelta)
def _delta(op: Any) -> Compute:
    """Return the number of unit boundaries between two instants, as DATE_DIFF counts."""
    part = _PARTS.get(str(getattr(op.part, "value", "")).lower())
    if part is None:
        raise Unsupported(f"a difference in {op.part}")
    unit = IBIS_UNITS[part]
    return lift2(lambda a, b: a // unit - b // unit, *_instants(op.left, op.right))
