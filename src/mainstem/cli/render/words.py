"""The text of numbers, instants and states."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mainstem.nodes.records import Measure

STYLES = {
    "done": "green",
    "published": "green",
    "fresh": "green",
    "verified": "green",
    "unchanged": "dim",
    "skipped": "yellow",
    "open": "yellow",
    "accepted": "cyan",
    "running": "cyan",
    "failed": "red",
    "interrupted": "red",
    "rejected": "dim",
}
MARKS = {"done": "✓", "skipped": "–", "failed": "✗"}


def styled(state: str) -> str:
    """Return a state in its colour, as Rich markup."""
    style = STYLES.get(state)
    return f"[{style}]{state}[/]" if style else state


def seconds(value: float | None) -> str:
    """Return a duration: `0.42 s`, `12.3 s`, `2 min 5 s`."""
    if value is None:
        return ""
    if value >= 120:
        return f"{int(value // 60)} min {int(value % 60)} s"
    return f"{value:.2f} s" if value < 1 else f"{value:.1f} s"


def count(value: int | None) -> str:
    """Return a count: `336,776`, or an empty text."""
    return "" if value is None else f"{value:,}"


def measure(value: Measure | None) -> str:
    """Return a value and its 95 % interval: `0.112 [0.101, 0.123]`."""
    return "" if value is None else f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def instant(value: Any) -> str:
    """Return `2013-12-01 05:00` for an instant or its ISO 8601 text; an empty text for None."""
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value or "")[:16].replace("T", " ")


NAMED = 8
"""Names that are printed of a list."""


def named(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f", and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def cell(value: Any) -> str:
    """Return a value of a row as text."""
    match value:
        case None:
            return ""
        case float():
            return f"{value:.6g}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}".removesuffix(":00")
        case list() | tuple():
            return ", ".join(map(cell, value))
        case dict():
            return ", ".join(f"{key} {cell(item)}" for key, item in value.items())
        case _:
            return str(value)
