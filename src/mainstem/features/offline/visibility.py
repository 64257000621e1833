"""The events that queries of a view see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ibis

from mainstem.features.views.view import CompiledView
from mainstem.nodes.hidden import ARRIVED, GONE

FEW = 256
"""Up to this number of events, queries are paired with each of them."""


@dataclass(frozen=True)
class Visibility:
    """Queries are rows of a view's key and `_t`. With `arrived`, they see only events that had arrived by then."""

    view: CompiledView
    arrived: bool

    @property
    def key(self) -> list[str]:
        """The columns that identify a query."""
        return [*self.view.key, "_t"]

    def before(self, instant: Any, t: Any) -> Any:
        """Return whether a query at `t` sees an event of, or an arrival at, an instant."""
        return instant <= t if self.view.inclusive else instant < t

    def stands(self, rows: ibis.Table) -> Any:
        """Return whether events had arrived by `_t` and were not retracted by then."""
        found: Any = ibis.literal(True)
        if self.arrived:
            found &= self.before(rows[ARRIVED], rows["_t"])
        if self.view.retracts:
            found &= ~self.before(rows[GONE], rows["_t"]).fill_null(False)
        return found

    def counted(self, events: ibis.Table, by: list[str], **more: Any) -> ibis.Table:
        """Return the distinct values of some columns, with their number of `_events`, and `more` columns."""
        return events.group_by(by).aggregate(_events=events.count(), **more)

    def crowded(self, counted: ibis.Table) -> ibis.Table:
        """Return the values that more than a few events share."""
        return counted.filter(counted["_events"] > FEW)
