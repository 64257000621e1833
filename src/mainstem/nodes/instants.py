"""Instants: their one Ibis type, and microseconds since 1970 (UTC) as int64, exact from year 1 to 9999."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

INSTANT = "timestamp('UTC', 6)"
"""The Ibis type in which every instant is stored."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
"""The range of instants that all parts support: Python, Arrow, Parquet and the engines."""

_MICROSECOND = timedelta(microseconds=1)


def micros_of(instant: datetime) -> int:
    """Return an aware datetime as microseconds since `EPOCH`."""
    return (instant - EPOCH) // _MICROSECOND


def is_in_calendar(micros: int) -> bool:
    """Return whether microseconds since `EPOCH` are in the range from `EARLIEST` to `LATEST`."""
    return _FIRST <= micros <= _LAST


def instant_of(micros: int) -> datetime:
    """Return microseconds since `EPOCH` as a datetime in UTC."""
    return EPOCH + micros * _MICROSECOND


_FIRST, _LAST = micros_of(EARLIEST), micros_of(LATEST)
