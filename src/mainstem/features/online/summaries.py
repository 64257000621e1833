"""Cached summaries of whole parts of a record. A part never changes, so its summary does not either.

A query over a key with very many events decodes only events at the edges of its windows. The parts between are grouped
by sixteen, and these groups again, so that few summaries are merged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mainstem.features.algebra import Aggregation, Partial
from mainstem.features.online.many import Many
from mainstem.features.online.packing import Events
from mainstem.features.online.scalars import Scalars
from mainstem.features.values import NULL_INT
from mainstem.features.views.view import CompiledView, Feature
from mainstem.nodes.hidden import ARRIVED, GONE

FAN = 16
"""The number of parts, or of groups, in a group."""

MOST = 16_384
"""The number of cached summaries of a view."""

SCALARS = Scalars()

Key = tuple[Aggregation, str | None, str | None]
"""The common part of a feature in several windows: an aggregation of the same columns."""


EventsOf = Callable[[bytes], Events | None]


class Summary(NamedTuple):
    """A summary of events: the `newest` usable time, when the last one `arrived`, and the partial of each aggregation.

    It also says whether any event is `gone` (retracted) or has an `infinite` value.
    """

    newest: int
    arrived: int
    gone: bool
    infinite: bool
    partials: Mapping[Key, Partial]

    def merged(self, later: Summary) -> Summary:
        """Return the summary of this and of the following events."""
        partials = {key: key[0].merge(SCALARS, partial, later.partials[key]) for key, partial in self.partials.items()}
        return Summary(
            max(self.newest, later.newest),
            max(self.arrived, later.arrived),
            self.gone or later.gone,
            self.infinite or later.infinite,
            partials,
        )


def key_of(feature: Feature) -> Key:
    """Return the key of a feature's partial."""
    return feature.kind, feature.argument, feature.by


class Summaries:
    """The summaries of a view's parts by name, and of groups of parts by the names of all of them.

    Functions with `events` call it with the name of a part. It returns the part's events, or None if they were not
    read.
    """

    def __init__(self, view: CompiledView) -> None:
        self._view = view
        self._features = {key_of(feature): feature for feature in view.features}
        self._known: dict[bytes | tuple[bytes, ...], Summary] = {}
        self._remembering = threading.Lock()

    def of(
        self, names: Sequence[bytes], first: int, shows: Callable[[Summary], bool], events: EventsOf
    ) -> tuple[Summary | None, list[bytes]]:
        """Return the summaries of parts that a query sees whole, and the other parts. `first` is the first one's
        number.

        A part without a summary whose events were not read is in neither.
        """
        whole, others = None, list[bytes]()
        for group in _grouped(names, first):
            for name, summary in self._shown(group, shows, events):
                if summary is None:
                    others.append(name)
                else:
                    whole = summary if whole is None else whole.merged(summary)
        return whole, others

    def _shown(
        self, names: Sequence[bytes], shows: Callable[[Summary], bool], events: EventsOf
    ) -> Iterator[tuple[bytes, Summary | None]]:
        """Yield the summary of a group, or of its members if it is not seen whole; None for a part that is not."""
        summary = self._summary(names, events)
        if summary is not None and shows(summary):
            yield names[0], summary
        elif len(names) > 1:
            for group in _parted(names):
                yield from self._shown(group, shows, events)
        elif summary is not None:
            yield names[0], None

    def _summary(self, names: Sequence[bytes], events: EventsOf) -> Summary | None:
        """Return the summary of a part or group; None if events for it were not read."""
        key = names[0] if len(names) == 1 else tuple(names)
        found = self._known.get(key)
        if found is None:
            found = self._made(names, events)
            if found is not None:
                with self._remembering:
                    while len(self._known) >= MOST:
                        del self._known[next(iter(self._known))]
                    self._known[key] = found
        return found

    def _made(self, names: Sequence[bytes], events: EventsOf) -> Summary | None:
        if len(names) == 1:
            rows = events(names[0])
            return None if rows is None else self._summed(rows)
        parts = [self._summary(group, events) for group in _parted(names)]
        whole = parts[0]
        for part in parts[1:]:
            whole = None if whole is None or part is None else whole.merged(part)
        return whole

    def _summed(self, events: Events) -> Summary:
        view, u = self._view, events["_u"]
        arrived = int(events[ARRIVED].max()) if view.arrives else int(u[-1])
        gone = view.retracts and bool((events[GONE] != NULL_INT).any())
        seen: dict[tuple[str, ...], Many] = {}
        partials: dict[Key, Partial] = {}
        with np.errstate(all="ignore"):
            for key, feature in self._features.items():
                if feature.arguments not in seen:
                    seen[feature.arguments] = Many(view, events, range(len(u)), feature)
                partials[key] = feature.kind.lift(seen[feature.arguments])
        return Summary(int(u[-1]), arrived, gone, is_infinite(view, events), partials)


def is_infinite(view: CompiledView, events: Events) -> bool:
    """Return whether there is an infinity among the values: its effect on a window is not known from partials."""
    reals = (name for name, kind in view.arguments.items() if kind == "float64")
    return any(bool(np.isinf(events[name]).any()) for name in reals)


def _grouped(names: Sequence[bytes], first: int = 0) -> Iterator[Sequence[bytes]]:
    """Yield names in groups as large as possible, which begin at multiples of their size. The first has number
    `first`.

    Therefore groups stay the same when newer parts are added, whatever a query leaves out at the beginning.
    """
    at = 0
    while at < len(names):
        size = 1
        while (first + at) % (size * FAN) == 0 and at + size * FAN <= len(names):
            size *= FAN
        yield names[at : at + size]
        at += size


def _parted(names: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Return the members of a group."""
    size = len(names) // FAN
    return (names[at : at + size] for at in range(0, len(names), size))
