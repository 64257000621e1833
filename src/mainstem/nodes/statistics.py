"""The statistics of a snapshot: what is counted of its rows, columns and joins, as a record saved with the release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mainstem.masking import masked_all
from mainstem.ports import Snapshot

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True)
class Level:
    """A value of a column and the number of sampled rows that have it. Instants and dates are ISO 8601 texts."""

    value: Any
    rows: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", masked_all(self.value))


@dataclass(frozen=True)
class TextShape:
    """The lengths of texts, and the shares of texts that look like a number, like a date, or have outer white space."""

    shortest: int
    mean: float
    longest: int
    numbers: float
    dates: float
    padded: float


@dataclass(frozen=True)
class ColumnStatistics:
    """What is counted of a column.

    Exact: `nulls`, `nans`, and the extremes `low` and `high`, which leave NaN out. They are None where they are not
    counted: nulls of arrays, extremes of binary values and of long texts. From the sample: the other fields. `sampled`
    is the number of sampled values other than null and NaN. `quantiles` are at `QUANTILES`. `frequent` has the most
    frequent levels, and all levels of the sample if `complete`.
    """

    type: str
    nulls: int | None = None
    nans: int = 0
    low: Any = None
    high: Any = None
    sampled: int = 0
    distinct: int | None = None
    mean: float | None = None
    deviation: float | None = None
    quantiles: tuple[Any, ...] = ()
    frequent: tuple[Level, ...] = ()
    complete: bool = False
    text: TextShape | None = None

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            object.__setattr__(self, name, masked_all(getattr(self, name)))


@dataclass(frozen=True)
class Sample:
    """The sampled rows of a snapshot: their number, the seed of the choice, and whether they are all rows."""

    rows: int
    seed: int
    whole: bool


@dataclass(frozen=True)
class Statistics:
    """The statistics of one snapshot. `joins` maps each join that the table declares to the share of left
    rows that have a match, over the inputs of the build."""

    id: str
    table: str
    snapshot: int
    run: str
    rows: int
    columns: Mapping[str, ColumnStatistics]
    sample: Sample
    joins: Mapping[str, float] = field(default_factory=dict)


def statistics_id(snapshot: Snapshot) -> str:
    """Return the id of a snapshot's statistics: its physical table and its snapshot id."""
    return f"{snapshot.physical}@{snapshot.id}"
