"""Conversion of instants to int64 microseconds since 1970 and back, in Ibis; exact from year 1 to 9999."""

from __future__ import annotations

from typing import Any

import ibis

from mainstem.nodes.instants import EPOCH, INSTANT

ALWAYS = -(2**62)
"""The usable time of rows that are always known: before every instant, with room for subtractions."""


def to_micros(instant: Any) -> Any:
    """Return a timestamp column as int64."""
    return instant.cast(INSTANT).delta(_epoch(), unit="microsecond").cast("int64")


def to_instant(micros: Any) -> Any:
    """Return an int64 column as timestamp('UTC', 6)."""
    return (_epoch() + micros.as_interval("us")).cast(INSTANT)


def _epoch() -> Any:
    return ibis.literal(EPOCH, type=INSTANT)
