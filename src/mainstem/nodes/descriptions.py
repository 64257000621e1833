"""The description of a relation as plain records, for the command line, a page, and programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mainstem.nodes.notebook import html, line
from mainstem.nodes.statistics import ColumnStatistics, Level


@dataclass(frozen=True)
class Histogram:
    """The numbers of values in bins of equal width from `low` to `high`, and of those `below` and `above` them."""

    low: Any
    high: Any
    bins: tuple[int, ...]
    below: int = 0
    above: int = 0


@dataclass(frozen=True)
class Variants:
    """Levels that differ in case, white space or punctuation only, or by one letter. The most frequent is first."""

    kind: Literal["case or space", "spelling"]
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class ColumnDescription:
    """One column. `outliers` are values beyond 1.5 times the distance of the quartiles from these."""

    name: str
    statistics: ColumnStatistics
    histogram: Histogram | None = None
    outliers: int | None = None
    variants: tuple[Variants, ...] = ()


Association = Literal["Pearson", "Spearman", "Cramér's V"]


@dataclass(frozen=True)
class Correlation:
    """How much two columns have in common: −1 to 1, or 0 to 1 for Cramér's V (corrected for bias)."""

    columns: tuple[str, str]
    kind: Association
    value: float


@dataclass(frozen=True, kw_only=True, repr=False)
class Description:
    """A relation. `looked_at` of its `rows` were read; `exact` says whether nulls and extremes are of all rows.

    `key_duplicates` are rows beyond the first with the same key, of all rows. `row_duplicates` are those that agree in
    every column, among the rows read; None if a column cannot be compared.
    """

    name: str
    rows: int
    looked_at: int
    exact: bool
    key: tuple[str, ...] = ()
    key_duplicates: int | None = None
    row_duplicates: int | None = None
    columns: Sequence[ColumnDescription] = ()
    correlations: Sequence[Correlation] = ()

    def __repr__(self) -> str:
        return line("Description", self.name, f"{self.rows:,} rows", f"{len(self.columns)} columns")

    def _repr_html_(self) -> str:
        rows = [
            {
                "column": each.name,
                "type": each.statistics.type,
                "missing": f"{each.statistics.nulls or 0:,}",
                "low": each.statistics.low,
                "high": each.statistics.high,
            }
            for each in self.columns
        ]
        return html(self.name, f"{self.rows:,} rows, {len(self.columns)} columns", rows)

    @property
    def sampled(self) -> bool:
        """Whether only a sample of the rows was read."""
        return self.looked_at < self.rows
