"""When a value becomes known, as far as definitions tell.

A `Known` is the latest of some moments, each an instant column plus a constant offset. Without moments it is always
known. Two moments of one column can be compared without data; moments of different columns cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from mainstem.graph.units import DAY, HOUR, MINUTE, SECOND

Verdict = Literal["in time", "too late", "undecided"]


@dataclass(frozen=True, order=True)
class Moment:
    """The instant `column` + `offset` microseconds."""

    column: str
    offset: int = 0

    def __str__(self) -> str:
        if not self.offset:
            return self.column
        sign, size = ("−" if self.offset < 0 else "+"), abs(self.offset)
        for unit, micros in (("d", DAY), ("h", HOUR), ("min", MINUTE), ("s", SECOND)):
            if size % micros == 0:
                return f"{self.column} {sign} {size // micros} {unit}"
        return f"{self.column} {sign} {size} µs"


@dataclass(frozen=True)
class Known:
    """The latest of `moments`, and not before the instant `since` (microseconds since 1970). If availability is
    unknown, `unknown` says why."""

    moments: frozenset[Moment] = frozenset()
    unknown: str | None = None
    since: int | None = None

    def __str__(self) -> str:
        if self.unknown:
            return f"unknown: {self.unknown}"
        if not self.moments and self.since is None:
            return "always"
        texts = [str(m) for m in sorted(self.moments)] + ([] if self.since is None else [_written(self.since)])
        return texts[0] if len(texts) == 1 else f"the latest of {', '.join(texts)}"

    @classmethod
    def at(cls, column: str, offset: int = 0) -> Known:
        return cls(frozenset({Moment(column, offset)}))

    @classmethod
    def never_said(cls, why: str) -> Known:
        return cls(unknown=why)

    def latest(self, *others: Known) -> Known:
        """Return the latest of this and others."""
        unknown = next((k.unknown for k in (self, *others) if k.unknown), None)
        offsets: dict[str, int] = {}
        for moment in (m for k in (self, *others) for m in k.moments):
            offsets[moment.column] = max(moment.offset, offsets.get(moment.column, moment.offset))
        since = max((k.since for k in (self, *others) if k.since is not None), default=None)
        return Known(frozenset(Moment(c, o) for c, o in offsets.items()), unknown, since)

    def rename(self, to: Callable[[str], Moment | None]) -> Known:
        """Return the same in terms of other columns. `to` maps each column to a moment; None makes the result
        unknown."""
        moved, lost = Known(unknown=self.unknown, since=self.since), []
        for moment in sorted(self.moments):
            place = to(moment.column)
            if place is None:
                lost.append(str(moment))
            else:
                moved = moved.latest(Known.at(place.column, moment.offset + place.offset))
        if lost:
            columns = "that column was" if len(lost) == 1 else "those columns were"
            return Known.never_said(f"it is known at {' and '.join(lost)}, and {columns} left out")
        return moved

    def by(self, moment: Moment) -> Verdict:
        """Return whether this is known by `moment`."""
        if self.unknown:
            return "undecided"
        same = [m for m in self.moments if m.column == moment.column]
        if any(m.offset > moment.offset for m in same):
            return "too late"
        return "in time" if len(same) == len(self.moments) and self.since is None else "undecided"


def _written(micros: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    return f"{moment:%Y-%m-%d}" if micros % DAY == 0 else f"{moment:%Y-%m-%d %H:%M:%S}"


ALWAYS = Known()
