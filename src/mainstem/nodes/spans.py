"""Spans of intervals: half-open ranges of whole intervals, in seconds since 1970 (UTC)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from mainstem.graph.units import SECOND
from mainstem.nodes.durations import microseconds
from mainstem.nodes.instants import EARLIEST, EPOCH, LATEST

MOST = 100
"""Spans of one selection. Those that are next to each other are joined, because each one is a condition of a query."""

LAST = (LATEST - EPOCH) // timedelta(seconds=1) + 1
FIRST = (EARLIEST - EPOCH) // timedelta(seconds=1)


class Span(NamedTuple):
    """The intervals from `start` to before `end`."""

    start: int
    end: int = LAST


def seconds(length: str) -> int:
    """Return a duration of whole seconds."""
    return microseconds(length) // SECOND


def interval_of(moment: date | datetime, length: int) -> int:
    """Return the start of the interval of an instant or a date."""
    return second_of(moment) // length * length


def second_of(moment: date | datetime) -> int:
    """Return whole seconds since 1970. A naive instant counts as UTC."""
    if not isinstance(moment, datetime):
        return (moment - EPOCH.date()).days * 86_400
    aware = moment if moment.tzinfo else moment.replace(tzinfo=EPOCH.tzinfo)
    return (aware - EPOCH) // timedelta(seconds=1)


def moment_of(second: int) -> datetime:
    """Return the instant of a second, within the calendar."""
    return EPOCH + timedelta(seconds=max(FIRST, min(second, LAST - 1)))


def aligned(span: Span, length: int) -> Span:
    """Return the span of all intervals that have a part of the given one."""
    return Span(span.start // length * length, -(-span.end // length) * length)


def joined(spans: Iterable[Span], most: int = MOST) -> list[Span]:
    """Return the spans in order, without overlaps; the nearest ones are joined until there are at most `most`."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.start <= found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    while len(found) > most:
        gaps = [after.start - before.end for before, after in pairwise(found)]
        place = gaps.index(min(gaps))
        found[place : place + 2] = [Span(found[place].start, found[place + 1].end)]
    return found


def of_intervals(starts: Iterable[int], length: int) -> list[Span]:
    """Return the spans of intervals given by their starts."""
    return joined(Span(start, start + length) for start in set(starts))


def told(spans: Sequence[Span], length: int, interval: str) -> str:
    """Return spans as text: `3 intervals of 1d, 2026-01-01 to 2026-01-03`."""
    number = sum((span.end - span.start) // length for span in spans)
    first, last = spans[0].start, spans[-1].end - length
    dates = length % 86_400 == 0
    both = [f"{moment_of(s):%Y-%m-%d}" if dates else f"{moment_of(s):%Y-%m-%d %H:%M:%S}" for s in (first, last)]
    place = both[0] if first == last else f"{both[0]} to {both[1]}"
    return f"{number:,} interval{'s' if number != 1 else ''} of {interval}, {place}"
