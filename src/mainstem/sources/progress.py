"""How far a cursor says a source was read. Without Arrow, because every plan reads it."""

from __future__ import annotations

import json
from typing import Any


def last_of(cursor: str | None) -> Any:
    """Return the greatest value of the cursor column that was read, as JSON; None before the first value."""
    return json.loads(cursor).get("last") if cursor else None


def rows_at_last(cursor: str | None) -> int:
    """Return the number of rows with that value that are stored."""
    return len(json.loads(cursor).get("seen", ())) if cursor else 0
