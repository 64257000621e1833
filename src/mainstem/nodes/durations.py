"""Durations as users write them: `90s`, `5min`, `1h`, `3d`, `2w`."""

from __future__ import annotations

import re

from mainstem.errors import DefinitionError
from mainstem.graph.units import DAY, HOUR, MILLISECOND, MINUTE, SECOND, WEEK

_MICROS = {"us": 1, "ms": MILLISECOND, "s": SECOND, "min": MINUTE, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}
LONGEST = 10_000_000 * _MICROS["d"]
"""Three times the range of the calendar (year 1 to 9999), in microseconds. It is well within int64."""

_CALENDAR = re.compile(r"\s*[\d.]+\s*(?:M|MS|ME|(?i:mo|mon|months?|q|y|yr|years?))\s*")
"""A number of months or years."""

_PATTERN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


def microseconds(text: str, where: str | None = None) -> int:
    """Return the length of a duration in microseconds. Raises `DefinitionError`."""
    match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[2] not in _MICROS:
        raise DefinitionError(
            f"{text!r} is not a duration",
            where=where,
            got=None if isinstance(text, str) else f"of type {type(text).__name__}",
            expected=f'a text, a number and one of {", ".join(_MICROS)}: "90min"',
            hint=_hint(text),
        )
    length = float(match[1]) * _MICROS[match[2]]
    if length > LONGEST:
        raise DefinitionError(
            f"{text!r} is too long", where=where, got=text, expected='a duration of up to "10000000d"'
        )
    return round(length)


def _hint(text: object) -> str | None:
    if not isinstance(text, str) or not _CALENDAR.fullmatch(text):
        return None
    return 'months and years differ in length: "30d" or "365d". "1m" is a minute'
