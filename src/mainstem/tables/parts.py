"""The part of a partitioned table that a data file belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mainstem.ports import Partition

_LENGTHS = {"year": 1, "month": 2, "day": 3, "hour": 4}


def part_of(path: str, partition: Sequence[Partition]) -> tuple[Any, ...]:
    """Return what the rows of a file have in common, from its footer: one value for each part of the partition."""
    if not partition:
        return ()
    import pyarrow.parquet as pq

    data = pq.read_metadata(path)
    names = data.schema.names
    return tuple(_shared(data, names.index(column), unit) for column, unit in partition)


def _shared(data: Any, place: int, unit: str) -> Any:
    statistics = data.row_group(0).column(place).statistics
    if statistics is None or not statistics.has_min_max:
        return None
    return statistics.min if unit == "value" else statistics.min.timetuple()[: _LENGTHS[unit]]
