"""Microseconds of each unit of time with a fixed length. Months and years have none."""

from __future__ import annotations

MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

IBIS_UNITS = {"W": WEEK, "D": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": MILLISECOND, "us": 1}
"""The units by Ibis' short names."""
