"""The rows within a JSON page."""

from __future__ import annotations

from typing import Any

from mainstem.errors import SourceError
from mainstem.masking import brief


def records_at(page: Any, path: str, where: str) -> list[dict[str, Any]]:
    """Return the objects at a path such as `$`, `items` or `data.rows`. Raises `SourceError` if the path does not
    exist."""
    found = page
    for step in path.removeprefix("$").strip(".").split(".") if path != "$" else ():
        if not isinstance(found, dict) or step not in found:
            got = ", ".join(found) if isinstance(found, dict) else f"a {type(found).__name__}"
            raise SourceError(f"the page has no {step!r}", where=where, got=got, hint=f"records={path!r} is the path")
        found = found[step]
    rows = found if isinstance(found, list) else [found]
    for row in rows:
        if not isinstance(row, dict):
            raise SourceError("a record is not a JSON object", where=where, got=brief(repr(row)), expected="{…}")
    return rows
