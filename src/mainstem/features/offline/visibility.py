"""What queries of a view see of its events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ibis

from mainstem.features.views.view import CompiledView
from mainstem.nodes.hidden import ARRIVED, GONE

FEW = 256
"""With up to so many events, a query may well be paired with each of them."""


@dataclass(frozen=True)
class Visibility:
    """Queries are rows of a view's key and `_t`. With `arrived`, they see only what had arrived by then."""

    view: CompiledView
    arrived: bool

    @property
    def key(self) -> list[str]:
        """What tells queries apart."""
        return [*self.view.key, "_t"]

    def before(self, instant: Any, t: Any) -> Any:
        """Whether a query at `t` sees what happened, or arrived, at an instant."""
        return instant <= t if self.view.inclusive else instant < t

    def stands(self, rows: ibis.Table) -> Any:
        """Whether events had arrived by `_t`, and no word that they were taken back."""
        found: Any = ibis.literal(True)
        if self.arrived:
            found &= self.before(rows[ARRIVED], rows["_t"])
        if self.view.retracts:
            found &= ~self.before(rows[GONE], rows["_t"]).fill_null(False)
        return found

    def counted(self, events: ibis.Table, by: list[str], **more: Any) -> ibis.Table:
        """The values of some columns, how many `_events` have them in common, and `more` of those."""
        return events.group_by(by).aggregate(_events=events.count(), **more)

    def crowded(self, counted: ibis.Table) -> ibis.Table:
        """Those that more than a few events have in common."""
        return counted.filter(counted["_events"] > FEW)
