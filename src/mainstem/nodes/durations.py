"""Durations as users write them: `90s`, `5min`, `1h`, `3d`, `2w`."""

from __future__ import annotations

import re

from mainstem.errors import DefinitionError

_MICROS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "min": 60_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_PATTERN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


def microseconds(text: str, where: str | None = None) -> int:
    """The length of a duration in microseconds. Raises `DefinitionError`."""
    match = _PATTERN.fullmatch(text)
    if match is None or match[2] not in _MICROS:
        raise DefinitionError(
            f"{text!r} is not a duration", where=where, expected=f"a number and one of {', '.join(_MICROS)}: 90min"
        )
    return round(float(match[1]) * _MICROS[match[2]])
