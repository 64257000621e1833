"""Instants as int64 microseconds since 1970, and back, in Ibis; exact from year 1 to 9999."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import ibis

INSTANT = "timestamp('UTC', 6)"

ALWAYS = -(2**62)
"""The usable time of what is always known: before every instant, and far enough from the end to subtract from."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(instant: Any) -> Any:
    """A timestamp column as int64."""
    return instant.cast(INSTANT).delta(_epoch(), unit="microsecond").cast("int64")


def to_instant(micros: Any) -> Any:
    """An int64 column as timestamp('UTC', 6)."""
    return (_epoch() + micros.as_interval("us")).cast(INSTANT)


def micros_of(instant: datetime) -> int:
    """An aware datetime as microseconds."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def instant_of(micros: int) -> datetime:
    """Microseconds as an aware datetime."""
    return _EPOCH + timedelta(microseconds=micros)


def _epoch() -> Any:
    return ibis.literal(_EPOCH, type=INSTANT)
