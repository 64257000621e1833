"""Between which moments an instant lies, where it is not itself a column plus a constant: rounded down, above all."""

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
    """An instant is never before `earliest` and never after `latest`; None where a definition cannot say."""

    earliest: Moment | None = None
    latest: Moment | None = None

    def shifted(self, by: int) -> Bounds:
        """Of the instant `by` microseconds later."""
        return Bounds(_shifted(self.earliest, by), _shifted(self.latest, by))

    def rounded_down(self, longest: int | None) -> Bounds:
        """Of the last whole unit up to the instant, where a unit takes at most `longest` microseconds."""
        return Bounds(None if longest is None else _shifted(self.earliest, 1 - longest), self.latest)

    def after(self, known: Known) -> Verdict:
        """Whether a value is known before the instant. At that very instant is too late, as for a query."""
        if known.unknown:
            return "undecided"
        if self.latest is not None and known.by(_before(self.latest)) == "too late":
            return "too late"
        if not known.moments or (self.earliest is not None and known.by(_before(self.earliest)) == "in time"):
            return "in time"
        return "undecided"


def bounds_of(value: ibis.Value) -> Bounds:
    """The bounds of an instant or a date, in terms of the columns that it is made from."""
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
    """Whether a cast to a timestamp keeps the instant: in UTC, to the microsecond."""
    plain = to.is_timestamp() and to.timezone in (None, "UTC") and (to.scale is None or to.scale >= 6)
    return bool(plain and (given.is_date() or given.is_timestamp()))


def _shifted(moment: Moment | None, by: int) -> Moment | None:
    return None if moment is None else Moment(moment.column, moment.offset + by)


def _before(moment: Moment) -> Moment:
    return Moment(moment.column, moment.offset - 1)
