"""Instants: their one Ibis type, and int64 microseconds since 1970, UTC; exact from year 1 to 9999."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

INSTANT = "timestamp('UTC', 6)"
"""The Ibis type in which every instant is stored."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_MICROSECOND = timedelta(microseconds=1)


def micros_of(instant: datetime) -> int:
    """Return an aware datetime as microseconds since `EPOCH`."""
    return (instant - EPOCH) // _MICROSECOND


def instant_of(micros: int) -> datetime:
    """Return microseconds since `EPOCH` as a datetime in UTC."""
    return EPOCH + micros * _MICROSECOND
