"""Instants and dates outside the calendar that all parts hold: years 1 to 9999, as Python, Arrow and SQL agree on.

A file or a database may hold others. An engine reads them, and the next part that makes a datetime of one fails. So
every row that comes in is held to the calendar. The statistics of the Parquet files just written tell at no cost
whether there is anything to look for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from mainstem.nodes.checks import Calendar
from mainstem.nodes.instants import EPOCH, is_in_calendar
from mainstem.ports import DataFile

IN_CALENDAR = "in_calendar("
"""The beginning of the label of this check."""

_DAYS = (date.min - EPOCH.date()).days, (date.max - EPOCH.date()).days
"""The first and the last day of the calendar, from 1970-01-01 on."""


def calendar(files: Sequence[DataFile], schema: Mapping[str, str]) -> tuple[Calendar, ...]:
    """Return the check of the columns that leave the calendar in some of the files; none for most files."""
    held = {name: kind for name, kind in schema.items() if kind.lstrip("!").startswith(("timestamp", "date"))}
    if not held:
        return ()
    beyond = {name for file in files for name in _beyond(file.path, held)}
    return (Calendar("quarantine", tuple(name for name in held if name in beyond)),) if beyond else ()


def _beyond(path: str, held: Mapping[str, str]) -> Iterator[str]:
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            if column.path_in_schema in held and not _inside(column, held[column.path_in_schema]):
                yield column.path_in_schema


def _inside(column: Any, kind: str) -> bool:
    """Return whether all values are surely in the calendar. Without statistics they are not."""
    found = column.statistics
    if found is None or not found.has_min_max:
        return bool(found is not None and found.null_count == column.num_values)
    return all(_in_calendar(raw, kind) for raw in _raw(found))


def _raw(statistics: Any) -> Iterable[int]:
    return statistics.min_raw, statistics.max_raw


def _in_calendar(raw: int, kind: str) -> bool:
    if kind.lstrip("!").startswith("date"):
        return _DAYS[0] <= raw <= _DAYS[1]
    return is_in_calendar(raw)
