"""Look up the features of other views for arriving events, as of when each event became known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from mainstem.features.instants import ALWAYS
from mainstem.features.online.arrivals import keys_of, usable
from mainstem.features.online.packing import to_fixed
from mainstem.features.online.sight import nothing
from mainstem.features.online.state import Reading
from mainstem.features.values import NULL_INT
from mainstem.features.views.view import CompiledView, Lookup
from mainstem.nodes.hidden import ARRIVED, DELETED
from mainstem.ports import Writer

Columns = Mapping[str, Sequence[Any]]


class Readable(Protocol):
    """The state of a view that can be read within the transaction that writes another view's state."""

    def read_within(self, writer: Writer, keys: Sequence[Sequence[Any]], times: Sequence[int]) -> list[Reading]:
        """Return the features of each key at its time (µs), as the transaction sees them."""

    def reaches(self, writer: Writer) -> int:
        """Return the earliest time (µs) at which it can be read."""


class Brought(NamedTuple):
    """Rows with the features of used views. `lost` are the usable times (µs) of rows that are left out."""

    rows: Columns
    lost: list[int]


def with_features(view: CompiledView, used: Sequence[Readable], writer: Writer, rows: Columns) -> Brought:
    """Return rows of a view's source, as columns, with the features of used views. These must have all earlier events.

    Rows that ask for a time before the exact range of a used view are lost. Deletions bring nothing along.
    """
    if view.chain is None:
        return Brought(rows, [])
    times, start = _times(view, rows), max((other.reaches(writer) for other in used), default=ALWAYS)
    early = [t is not None and t < start for t in times]
    lost: list[int] = []
    if any(early):
        deleted = rows.get(DELETED) or [False] * len(times)
        out = [is_early and not gone for is_early, gone in zip(early, deleted, strict=True)]
        lost = [int(u) for u, is_out in zip(usable(view, rows).tolist(), out, strict=True) if is_out]
        rows = {name: [v for v, is_out in zip(c, out, strict=True) if not is_out] for name, c in rows.items()}
        left = [(t, is_early) for t, is_early, is_out in zip(times, early, out, strict=True) if not is_out]
        times = [None if is_early else t for t, is_early in left]
    for lookup, other in zip(view.chain.lookups, used, strict=True):
        rows = {**rows, **_looked_up(lookup, other, writer, rows, times)}
    return Brought(rows, lost)


def _times(view: CompiledView, rows: Columns) -> list[int | None]:
    """Return the time of each row's lookup: the earlier of known and arrival; null for late rows."""
    assert view.chain is not None
    u = usable(view, rows)
    came = to_fixed(rows.get(ARRIVED) or [None] * len(u), "int64")
    came = np.where(came == NULL_INT, u, came)
    asks = (u != NULL_INT) & (came - u <= view.chain.grace)
    times: list[int] = np.minimum(u, came).tolist()
    return [t if one else None for t, one in zip(times, asks.tolist(), strict=True)]


def _looked_up(lookup: Lookup, other: Readable, writer: Writer, rows: Columns, times: Sequence[int | None]) -> Columns:
    keys = keys_of(rows, lookup.on)
    asked = [None if t is None or None in key else (key, t) for key, t in zip(keys, times, strict=True)]
    distinct = list(dict.fromkeys(each for each in asked if each is not None))
    readings = other.read_within(writer, [key for key, _ in distinct], [t for _, t in distinct])
    known: dict[Any, Reading] = dict(zip(distinct, readings, strict=True))
    empty = nothing(lookup.view)
    answers = [empty if each is None else known[each].values for each in asked]
    return {column: [answer[f.name] for answer in answers] for column, f in lookup.columns.items()}
