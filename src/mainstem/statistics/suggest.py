"""Suggest checks from what a description says of the rows."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Any

from mainstem.nodes.anomalies import anomaly
from mainstem.nodes.checks import Check, accepted, between, not_null, unique
from mainstem.nodes.descriptions import ColumnDescription, Description

ENOUGH = 20
"""The rows from which on anything but missing values is judged."""
LEVELS = 12
ROWS_PER_LEVEL = 10
OUTLIERS = 0.01
"""The share of outliers above which a range is not stable."""
EVERY = 100
"""A range of at most so many whole numbers that all occur has no margin."""
MARGIN = 0.1
"""The part of the range by which suggested bounds are wider."""


@dataclass(frozen=True)
class Suggestion:
    """A check, the code that declares it, and the reason for it."""

    check: Check
    code: str
    reason: str


def suggest(found: Description, cleaned: Collection[str] = ()) -> Iterator[Suggestion]:
    """Yield checks that fit the rows as far as the description can tell. Those of the key are always made anyway.

    Of columns that are `cleaned`, only missing values are checked: other values change.
    """
    rows = f"{found.rows:,} rows"
    full = [c.name for c in found.columns if c.name not in found.key and _is_full(found, c)]
    if full:
        yield Suggestion(not_null(*full), f"ms.not_null({_names(full)})", f"no nulls in {rows}")
    if found.rows >= ENOUGH:
        for column in found.columns:
            if column.name not in (*found.key, *cleaned):
                yield from _of_column(found, column)
    yield Suggestion(anomaly("rows"), 'ms.anomaly("rows")', "as in earlier snapshots")
    for column in found.columns:
        nulls = column.statistics.nulls or 0
        if found.exact and 0 < nulls < found.rows and column.name not in cleaned:
            code = f'ms.anomaly("nulls", {_text(column.name)})'
            yield Suggestion(anomaly("nulls", column.name), code, f"{nulls / found.rows:.1%} missing now")


def _of_column(found: Description, column: ColumnDescription) -> Iterator[Suggestion]:
    statistics, name = column.statistics, _text(column.name)
    is_text = statistics.type.lstrip("!") == "string"
    is_whole = statistics.type.lstrip("!").startswith(("int", "uint"))
    distinct = statistics.distinct or 0
    if (is_text or is_whole) and distinct == statistics.sampled == found.looked_at:
        yield Suggestion(unique(column.name), f"ms.unique({name})", "no value repeats")
    few = 0 < distinct <= LEVELS and statistics.complete and statistics.sampled >= ROWS_PER_LEVEL * distinct
    if is_text and few and not column.variants:
        levels = sorted(level.value for level in statistics.frequent)
        code = f"ms.accepted({name}, [{', '.join(map(_text, levels))}])"
        yield Suggestion(accepted(column.name, levels), code, f"{distinct} levels")
    bounds = _bounds(column)
    if bounds is not None:
        low, high = bounds
        code = f"ms.between({name}, {low!r}, {high!r})"
        reason = f"from {statistics.low:,} to {statistics.high:,}, few outliers"
        yield Suggestion(between(column.name, low, high), code, reason)


def _is_full(found: Description, column: ColumnDescription) -> bool:
    return found.exact and found.rows > 0 and column.statistics.nulls == 0


def _bounds(column: ColumnDescription) -> tuple[Any, Any] | None:
    """Return rounded bounds with a margin; None unless the column has numbers with few outliers."""
    statistics = column.statistics
    low, high, outliers = statistics.low, statistics.high, column.outliers
    is_number = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (low, high))
    if not is_number or outliers is None or statistics.nans or (statistics.distinct or 0) < 2:
        return None
    if not (isfinite(low) and isfinite(high)) or outliers > OUTLIERS * statistics.sampled:
        return None
    if isinstance(low, int) and isinstance(high, int) and statistics.distinct == high - low + 1 <= EVERY:
        return low, high  # such as months or minutes
    margin = MARGIN * (high - low)
    bottom = 0 if low >= 0 else _rounded(low - margin, floor)
    top = 0 if high <= 0 else _rounded(high + margin, ceil)
    return bottom, top


def _rounded(value: float, direction: Any) -> float:
    """Round away from the data to two digits; a whole number where it is one."""
    unit = 10.0 ** (floor(log10(abs(value))) - 1)
    rounded: float = direction(value / unit) * unit
    return round(rounded) if unit >= 1 else round(rounded, max(-floor(log10(unit)), 0))


def _names(names: list[str]) -> str:
    return ", ".join(map(_text, names))


def _text(value: str) -> str:
    """Return a Python literal with double quotes. JSON's escapes are Python's, too."""
    return json.dumps(value, ensure_ascii=False)
