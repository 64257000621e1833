"""How far a cursor says a source was read. Free of Arrow, since a plan asks it on every run."""

from __future__ import annotations

import json
from typing import Any


def last_of(cursor: str | None) -> Any:
    """The greatest value read of the cursor column, as JSON has it; None before anything was read."""
    return json.loads(cursor).get("last") if cursor else None


def rows_at_last(cursor: str | None) -> int:
    """How many rows with that value are stored."""
    return len(json.loads(cursor).get("seen", ())) if cursor else 0
