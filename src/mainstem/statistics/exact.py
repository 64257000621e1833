"""Exact counts of a column: nulls, NaN and extremes, from the footers of Parquet files.

A footer has no extremes for a column with NaN. Only those parts of a column are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from mainstem.nodes.statistics import ColumnStatistics
from mainstem.ports import Field

LONGEST = 200
"""The characters of a text up to which it is kept as an extreme. Some writers cut longer texts in their footers."""

_ORDERED = ("int", "uint", "float", "decimal", "date", "time", "string", "bool")


@dataclass(frozen=True)
class Counts:
    """The exact counts of a column, or of a part of it."""

    nulls: int | None = 0
    nans: int = 0
    low: Any = None
    high: Any = None

    def __add__(self, other: Counts) -> Counts:
        nulls = None if self.nulls is None or other.nulls is None else self.nulls + other.nulls
        lows = [each.low for each in (self, other) if each.low is not None]
        highs = [each.high for each in (self, other) if each.high is not None]
        return Counts(nulls, self.nans + other.nans, min(lows, default=None), max(highs, default=None))


def count_files(paths: Iterable[str], fields: Sequence[Field]) -> dict[str, Counts]:
    """Return the exact counts of every column over all rows of Parquet files."""
    import pyarrow.parquet as pq

    total = {field.name: Counts(None if field.type.startswith("array") else 0) for field in fields}
    counted = {field.name: _is_ordered(field.type) for field in fields if not field.type.startswith("array")}
    for path in paths:
        file = pq.ParquetFile(path)
        for group in range(file.metadata.num_row_groups):
            part = file.metadata.row_group(group)
            for number in range(part.num_columns):
                column = part.column(number)
                name = column.path_in_schema
                if name in counted:
                    total[name] += _of_part(file, group, column, ordered=counted[name])
    return {name: _short(found) for name, found in total.items()}


def counts_of(column: ColumnStatistics) -> Counts:
    """Return the exact counts that statistics have, with values that can be compared again."""
    low, high = (_revived(value, column.type) for value in (column.low, column.high))
    return Counts(column.nulls, column.nans, low, high)


def merged(before: Mapping[str, ColumnStatistics], added: Mapping[str, Counts]) -> dict[str, Counts]:
    """Return the counts of rows that were counted before together with new rows."""
    both = {name: counts_of(before[name]) + found if name in before else found for name, found in added.items()}
    return {name: _unless_dropped(found, before.get(name)) for name, found in both.items()}


def plain(value: Any) -> Any:
    """Return a value as JSON has it: instants and dates as ISO 8601 texts, decimals as texts."""
    match value:
        case datetime():
            return value.isoformat(timespec="microseconds")
        case date() | time():
            return value.isoformat()
        case Decimal():
            return str(value)
    return value


def _of_part(file: Any, group: int, column: Any, *, ordered: bool) -> Counts:
    """Return the counts of one column in one row group."""
    found = column.statistics
    if found is not None and found.has_null_count and (not ordered or found.null_count == column.num_values):
        return Counts(found.null_count)
    if found is None or not found.has_null_count or not found.has_min_max:
        return _read(file.read_row_group(group, columns=[column.path_in_schema]).column(0), ordered=ordered)
    return Counts(found.null_count, 0, found.min, found.max)


def _read(values: Any, *, ordered: bool) -> Counts:
    import pyarrow as pa
    import pyarrow.compute as pc

    nulls, nans = values.null_count, 0
    if pa.types.is_floating(values.type):
        is_nan = pc.is_nan(values)
        nans = pc.sum(is_nan).as_py() or 0
        values = values.filter(pc.invert(is_nan))
    if not ordered:
        return Counts(nulls, nans)
    extremes = pc.min_max(values).as_py()
    return Counts(nulls, nans, extremes["min"], extremes["max"])


def _is_ordered(type: str) -> bool:
    return type.lstrip("!").startswith(_ORDERED)


def _short(found: Counts) -> Counts:
    """Leave out both extremes if one is a long text: one without the other would mislead."""
    long = any(isinstance(value, str) and len(value) > LONGEST for value in (found.low, found.high))
    return replace(found, low=None, high=None) if long else found


def _unless_dropped(both: Counts, before: ColumnStatistics | None) -> Counts:
    """Leave out extremes of all rows if those of the earlier rows were left out."""
    dropped = before is not None and before.low is None and before.sampled > 0
    return replace(both, low=None, high=None) if dropped else both


def _revived(value: Any, type: str) -> Any:
    if not isinstance(value, str):
        return value
    kind = type.lstrip("!")
    if kind.startswith("float"):
        return float(value)
    if kind.startswith("decimal"):
        return Decimal(value)
    if kind.startswith("timestamp"):
        return datetime.fromisoformat(value)
    if kind.startswith("date"):
        return date.fromisoformat(value)
    return time.fromisoformat(value) if kind.startswith("time") else value


def counts_in(values: Any, type: str) -> Counts:
    """Return the exact counts of values that were read."""
    return _short(_read(values, ordered=_is_ordered(type)))
