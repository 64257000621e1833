"""What whole parts of a record come to, remembered: a part never changes, and so neither does that.

A query over a key with very many events so decodes those at the edges of its windows only. What lies between are parts,
taken together sixteen by sixteen, and those again, so that there are few of them to merge.
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
"""How many parts, or groups of them, are taken together."""

MOST = 16_384
"""Summaries that a process remembers of a view."""

SCALARS = Scalars()

Key = tuple[Aggregation, str | None, str | None]
"""What features of several windows have in common: an aggregation of the same columns."""


EventsOf = Callable[[bytes], Events | None]


class Summary(NamedTuple):
    """What some events come to: the `newest` usable time, when the last of them had `arrived`, whether any is `gone`
    again or `infinite`, and the partial of each aggregation."""

    newest: int
    arrived: int
    gone: bool
    infinite: bool
    partials: Mapping[Key, Partial]

    def merged(self, later: Summary) -> Summary:
        """With what comes after it."""
        partials = {key: key[0].merge(SCALARS, partial, later.partials[key]) for key, partial in self.partials.items()}
        return Summary(
            max(self.newest, later.newest),
            max(self.arrived, later.arrived),
            self.gone or later.gone,
            self.infinite or later.infinite,
            partials,
        )


def key_of(feature: Feature) -> Key:
    """What a feature's partial is found by."""
    return feature.kind, feature.argument, feature.by


class Summaries:
    """The summaries of a view's parts by their names, and of groups of parts by the names of all of them.

    Where a function takes `events`, these are the events of a part by its name, or None if they are not at hand.
    """

    def __init__(self, view: CompiledView) -> None:
        self._view = view
        self._features = {key_of(feature): feature for feature in view.features}
        self._known: dict[bytes | tuple[bytes, ...], Summary] = {}
        self._remembering = threading.Lock()

    def of(
        self, names: Sequence[bytes], first: int, shows: Callable[[Summary], bool], events: EventsOf
    ) -> tuple[Summary | None, list[bytes]]:
        """What parts come to that a query sees whole, and those that it does not; `first` is the first one's number.

        A part whose summary is not known, and whose events are not at hand, is none of either.
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
        """The summary of a group, or of what it is made of where it is not seen whole; None for a part that is not."""
        summary = self._summary(names, events)
        if summary is not None and shows(summary):
            yield names[0], summary
        elif len(names) > 1:
            for group in _parted(names):
                yield from self._shown(group, shows, events)
        elif summary is not None:
            yield names[0], None

    def _summary(self, names: Sequence[bytes], events: EventsOf) -> Summary | None:
        """The summary of a part or group; None if events that it is to be made of are not at hand."""
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
    """Whether there is an infinity among the values: what it makes of a window is not told from partials."""
    reals = (name for name, kind in view.arguments.items() if kind == "float64")
    return any(bool(np.isinf(events[name]).any()) for name in reals)


def _grouped(names: Sequence[bytes], first: int = 0) -> Iterator[Sequence[bytes]]:
    """Names, of which the first has the number `first`, in groups as large as can be, that begin at multiples of their
    size: so groups stay the same while newer parts come, whatever a query leaves out at the begin."""
    at = 0
    while at < len(names):
        size = 1
        while (first + at) % (size * FAN) == 0 and at + size * FAN <= len(names):
            size *= FAN
        yield names[at : at + size]
        at += size


def _parted(names: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """A group as the groups that it is made of."""
    size = len(names) // FAN
    return (names[at : at + size] for at in range(0, len(names), size))
