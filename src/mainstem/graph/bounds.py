"""Bounds of an instant that is not a column plus a constant, such as an instant rounded down to the hour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from mainstem.graph.known import Known, Moment, Verdict
from mainstem.graph.lineage import interval
from mainstem.graph.units import IBIS_UNITS

if TYPE_CHECKING:
    import ibis

_DAY = IBIS_UNITS["D"]
_LONGEST = IBIS_UNITS | {"M": 31 * _DAY, "Q": 92 * _DAY, "Y": 366 * _DAY}


@dataclass(frozen=True)
class Bounds:
    """An instant is never before `earliest` and never after `latest`. None means that the definition sets no bound."""

    earliest: Moment | None = None
    latest: Moment | None = None

    def shifted(self, by: int) -> Bounds:
        """Return the bounds of the instant `by` microseconds later."""
        return Bounds(_shifted(self.earliest, by), _shifted(self.latest, by))

    def rounded_down(self, longest: int | None) -> Bounds:
        """Return the bounds of the instant rounded down to a unit of at most `longest` microseconds."""
        return Bounds(None if longest is None else _shifted(self.earliest, 1 - longest), self.latest)

    def after(self, known: Known) -> Verdict:
        """Return whether a value is known before the instant. A value known at that very instant is too late, as in a
        query."""
        if known.unknown:
            return "undecided"
        if self.latest is not None and known.by(_before(self.latest)) == "too late":
            return "too late"
        if known.since is not None:
            return "undecided"
        if not known.moments or (self.earliest is not None and known.by(_before(self.earliest)) == "in time"):
            return "in time"
        return "undecided"


def bounds_of(value: ibis.Value) -> Bounds:
    """Return the bounds of an instant or a date, in terms of the columns it is computed from."""
    return _bounds(value.op())


def _bounds(op: Any) -> Bounds:
    match op:
        case ops.Field():
            return Bounds(Moment(op.name), Moment(op.name))
        case ops.TimestampAdd() | ops.DateAdd() | ops.TimestampSub() | ops.DateSub():
            shift = interval(op.right)
            sign = 1 if isinstance(op, (ops.TimestampAdd, ops.DateAdd)) else -1
            return Bounds() if shift is None else _bounds(op.left).shifted(sign * shift)
        case ops.TimestampTruncate() | ops.DateTruncate():
            return _bounds(op.arg).rounded_down(_LONGEST.get(op.unit.short))
        case ops.TimestampBucket():
            return _bounds(op.arg).rounded_down(interval(op.interval))
        case ops.Date():
            return _bounds(op.arg).rounded_down(_DAY)
        case ops.Cast() if op.to.is_date() and op.arg.dtype.is_temporal():
            return _bounds(op.arg).rounded_down(_DAY)
        case ops.Cast() if _same_instant(op.arg.dtype, op.to):
            return _bounds(op.arg)
    return Bounds()


def _same_instant(given: Any, to: Any) -> bool:
    """Return whether a cast to a timestamp keeps the instant: in UTC, with microseconds."""
    plain = to.is_timestamp() and to.timezone in (None, "UTC") and (to.scale is None or to.scale >= 6)
    return bool(plain and (given.is_date() or given.is_timestamp()))


def _shifted(moment: Moment | None, by: int) -> Moment | None:
    return None if moment is None else Moment(moment.column, moment.offset + by)


def _before(moment: Moment) -> Moment:
    return Moment(moment.column, moment.offset - 1)
