"""Overrides: decisions that an operator sets for an endpoint, without a deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mainstem.nodes.records import now

FALLBACK = "fallback"
"""The decision of an override that lets the declared fallback answer."""


@dataclass(frozen=True)
class Override:
    """The decision for requests whose fields have the texts of `where`; for all requests if it is empty.

    `who` and `why` say who set it and for which reason. It holds until the instant `until`, or until it was ended.
    """

    id: str
    endpoint: str
    branch: str
    decision: str
    where: Mapping[str, str]
    who: str
    why: str
    until: datetime | None = None
    created_at: datetime = field(default_factory=now)
    ended_at: datetime | None = None
    ended_by: str = ""

    def holds(self, at: datetime) -> bool:
        """Return whether the override is in force at an instant."""
        return self.ended_at is None and (self.until is None or at < self.until)

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a request has the values of `where`."""
        return all(name in row and as_text(row[name]) == text for name, text in self.where.items())


FLAG = "override:"
"""What the flag of an answer with an override begins with; its id follows."""


def flag_of(override: Override) -> str:
    """Return the flag of an answer that an override decided."""
    return f"{FLAG}{override.id}"


def as_text(value: Any) -> str | None:
    """Return a value of a request as the text that an override names it by; null matches nothing."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def first(overrides: Sequence[Override], row: Mapping[str, Any], at: datetime) -> Override | None:
    """Return the override of a request: the last one that was set of those with the most fields."""
    found = [each for each in overrides if each.holds(at) and each.matches(row)]
    return max(found, key=lambda each: (len(each.where), each.created_at), default=None)
