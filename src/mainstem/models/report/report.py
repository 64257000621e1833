"""The report of a model version, as a page, as Markdown and as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from mainstem.models.report.markdown import markdown
from mainstem.models.report.page import embedded, page
from mainstem.models.report.record import Record


@dataclass(frozen=True, repr=False)
class Report(Record):
    """The report of a model version. A notebook shows its page."""

    def html(self) -> str:
        """Return the report as one HTML page without scripts, which needs no other file."""
        return page(self)

    def markdown(self) -> str:
        """Return the report as Markdown, with tables in place of pictures."""
        return markdown(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, ready for JSON: the card with all that was kept, and the rest."""
        more = {"declared": self.declared, "data": self.data, "limits": self.limits}
        found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(more))
        return {**self.card, **found}

    def __repr__(self) -> str:
        return f"<Report {self.version.id}: {self.card['headline']}>"

    def _repr_html_(self) -> str:
        return embedded(self)
