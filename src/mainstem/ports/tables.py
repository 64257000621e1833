"""The records by which engines and lakes speak of stored tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple


@dataclass(frozen=True)
class Field:
    """One column of a stored table. Files are read by `id`; `type` is an Ibis type, such as `int64`."""

    id: int
    name: str
    type: str


@dataclass(frozen=True)
class Interval:
    """A half-open range of time, `start <= t < end`, in UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class DataFile:
    """A Parquet file that an engine wrote and that no snapshot refers to yet. `path` is absolute or a URI.

    If `interval` is set, all rows of the file are in that range.
    """

    path: str
    rows: int
    interval: Interval | None = None


class Partition(NamedTuple):
    """A column whose values, or the `unit` of whose instants in UTC, are equal in all rows of a file."""

    column: str
    unit: Literal["value", "year", "month", "day", "hour"] = "value"


@dataclass(frozen=True)
class Target:
    """Where an engine may write: a directory and the schema of its files. Rows are cast to it; columns carry its field
    ids. With `file_bytes` the rows are split, in their order, into files of about this size. With `partition` they are
    split by it, in no order. Otherwise they are one file.
    """

    directory: str
    fields: tuple[Field, ...]
    file_bytes: int | None = None
    partition: tuple[Partition, ...] = ()

    @property
    def items(self) -> dict[str, int]:
        """Map each array column to the field id of its items. These ids follow the columns' ids, in Iceberg's order."""
        arrays = (field.name for field in self.fields if field.type.startswith("array<"))
        after = 1 + max((field.id for field in self.fields), default=0)
        return {name: id for id, name in enumerate(arrays, start=after)}


@dataclass(frozen=True)
class Snapshot:
    """One immutable version of a stored table; `physical` names the Iceberg table, `metadata` its metadata file."""

    table: str
    physical: str
    id: int
    metadata: str
    rows: int
    run: str
    fields: tuple[Field, ...]
    cursor: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    partition: tuple[Partition, ...] = ()


@dataclass(frozen=True)
class Scan:
    """The files of one snapshot. Columns are read by field id."""

    files: tuple[str, ...]
    fields: tuple[Field, ...]
    rows: int


@dataclass(frozen=True)
class RawFiles:
    """Files as a source offers them. `columns` maps names to the Ibis types of the source's schema.

    `names` are those of the columns of CSV files, in their order, instead of the header's. `origin` is the name of a
    further column with the path of each row's file.
    """

    paths: tuple[str, ...]
    format: Literal["csv", "parquet", "json"]
    columns: Mapping[str, str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] | None = None
    origin: str | None = None
