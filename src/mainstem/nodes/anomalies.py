"""`ms.anomaly`: a check of a table against the statistics of its earlier snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mainstem.nodes.base import refused
from mainstem.nodes.checks import Check, of_table
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import column as column_
from mainstem.nodes.kinds import integer, number, optional, word

Measure = Literal["rows", "nulls", "distinct", "mean", "low", "high", "unseen"]


@dataclass(frozen=True, eq=False)
class Anomaly(Check):
    measure: Measure = "rows"
    column: str | None = None
    minimum: int = 5
    width: float = 5.0

    @property
    def label(self) -> str:
        return f"anomaly({self.measure})" if self.column is None else f"anomaly({self.measure}, {self.column})"


@declared(
    measure=word("rows", "nulls", "distinct", "mean", "low", "high", "unseen"),
    column=optional(column_),
    severity=of_table,
    minimum=integer(2),
    width=number(above=0),
)
def anomaly(
    measure: Measure,
    column: str | None = None,
    *,
    severity: Literal["error", "warn"] = "warn",
    minimum: int = 5,
    width: float = 5.0,
) -> Anomaly:
    """Check that a measure of the table, or of one of its columns, is as in earlier snapshots of the branch.

    `rows` is the number of rows; the other measures need a column. `nulls` is the share of null and NaN, `low` and
    `high` are the extremes. From a sample: `distinct` values, the `mean`, and `unseen`, the share of values that no
    earlier snapshot has, for columns of at most 50 levels.

    The expected range is the median of the earlier snapshots ± `width` robust standard deviations (1.4826 times the
    median absolute deviation). With fewer than `minimum` earlier snapshots the check says "not judged". Raises
    `DefinitionError` for a measure without its column, and for rows with one.
    """
    if (measure == "rows") != (column is None):
        expected = 'ms.anomaly("rows"), or a column: ms.anomaly("nulls", "dep_delay")'
        raise refused("the measure and the column do not fit", (measure, column), expected)
    return Anomaly(severity, measure, column, minimum, width)
