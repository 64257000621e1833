"""Judge `ms.anomaly`: compare the statistics of a snapshot with those of the branch's earlier snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import median

from mainstem.checks.violations import Subject
from mainstem.nodes.anomalies import Anomaly
from mainstem.nodes.records import CheckResult
from mainstem.nodes.statistics import ColumnStatistics, Statistics, statistics_id
from mainstem.planning.execution import Context

PAST = 30
"""The most earlier snapshots that are compared."""
NORMAL = 1.4826
"""The standard deviation of normal values, in median absolute deviations."""
SHARE, RELATIVE, OF_SPREAD = 0.01, 0.05, 0.1
"""What a measure may always deviate: shares by 0.01, counts by 5 %, values by a tenth of the quartiles' distance."""
SHARES = ("nulls", "unseen")


@dataclass(frozen=True)
class Range:
    """The expected values of a measure."""

    low: float
    high: float


def unusual(context: Context, subject: Subject, found: Statistics | None) -> tuple[CheckResult, ...]:
    """Return the results of the subject's anomaly checks, given the statistics of its snapshot."""
    checks = [check for check in subject.checks if isinstance(check, Anomaly)]
    if not checks:
        return ()
    past = earlier(context, subject.table.get_name(), found)
    return tuple(_judged(check, found, past) for check in checks)


def unusual_published(context: Context, subject: Subject) -> tuple[CheckResult, ...]:
    """Return the results of the subject's anomaly checks on what is published."""
    if not any(isinstance(check, Anomaly) for check in subject.checks):
        return ()
    snapshot = context.snapshot(subject.table.get_name())
    return unusual(context, subject, context.records.get(Statistics, statistics_id(snapshot)))


def earlier(context: Context, table: str, found: Statistics | None) -> list[Statistics]:
    """Return the statistics of up to `PAST` earlier snapshots that the branch published, the newest first."""
    ids = (statistics_id(release.tables[table]) for release in context.history if table in release.tables)
    others = [id for id in dict.fromkeys(ids) if found is None or id != found.id]
    kept = (context.records.get(Statistics, id) for id in others[:PAST])
    return [each for each in kept if each is not None]


def expected(check: Anomaly, past: Sequence[Statistics], values: Sequence[float]) -> Range:
    """Return the range of a measure, given its earlier values."""
    middle = median(values)
    spread = NORMAL * median(abs(value - middle) for value in values)
    allowed = max(check.width * spread, _least(check, past, middle))
    if check.measure in SHARES:
        return Range(max(middle - allowed, 0.0), min(middle + allowed, 1.0))
    least = -float("inf") if check.measure in ("mean", "low", "high") else 0.0
    return Range(max(middle - allowed, least), middle + allowed)


def _judged(check: Anomaly, found: Statistics | None, past: Sequence[Statistics]) -> CheckResult:
    rows = found.rows if found else 0
    value = measured(check, found, past) if found else None
    if value is None or not isfinite(value):
        return _not_judged(check, rows, _missing(check, found))
    values = [
        known
        for number, each in enumerate(past)
        if (known := measured(check, each, past[number + 1 :])) is not None and isfinite(known)
    ]
    if len(values) < check.minimum:
        return _not_judged(check, rows, f"{len(values)} of {check.minimum} snapshots")
    usual = expected(check, past, values)
    if usual.low <= value <= usual.high:
        return CheckResult(check.label, check.severity, 0, rows)
    told = f"{_text(check, value)}; expected {_text(check, usual.low)} to {_text(check, usual.high)}"
    return CheckResult(check.label, check.severity, 1, rows, message=f"{told}, from {len(values)} snapshots")


def measured(check: Anomaly, found: Statistics, past: Sequence[Statistics]) -> float | None:
    """Return the measure of a snapshot, or None if it cannot be told. `past` are the snapshots before it."""
    if check.column is None:
        return float(found.rows)
    column = found.columns.get(check.column)
    if column is None:
        return None
    match check.measure:
        case "nulls":
            known = column.nulls is not None and found.rows
            return ((column.nulls or 0) + column.nans) / found.rows if known else None
        case "distinct":
            return None if column.distinct is None else float(column.distinct)
        case "mean":
            return column.mean
        case "unseen":
            return _unseen(column, [each.columns[check.column] for each in past if check.column in each.columns])
    extreme = column.low if check.measure == "low" else column.high
    return None if extreme is None else float(extreme)


def _unseen(column: ColumnStatistics, past: Sequence[ColumnStatistics]) -> float | None:
    """Return the share of sampled values that no earlier snapshot has. All of them must have few levels."""
    if not past or not column.sampled or not all(each.complete for each in (column, *past)):
        return None
    known = {level.value for each in past for level in each.frequent}
    return sum(level.rows for level in column.frequent if level.value not in known) / column.sampled


def _least(check: Anomaly, past: Sequence[Statistics], middle: float) -> float:
    """Return what the measure may always deviate, also from a constant history."""
    if check.measure in SHARES:
        return SHARE
    if check.measure in ("rows", "distinct"):
        return RELATIVE * middle
    spreads = [
        c.quantiles[4] - c.quantiles[2] for s in past if (c := s.columns.get(check.column or "")) and c.quantiles
    ]
    spread = OF_SPREAD * median(spreads) if spreads else 0.0
    return spread or RELATIVE * abs(middle)


def _missing(check: Anomaly, found: Statistics | None) -> str:
    if found is None:
        return "the published snapshot has no statistics"
    if check.measure == "unseen":
        return "the column has more than 50 levels, or no earlier snapshot"
    return "the column has no such values"


def _not_judged(check: Anomaly, rows: int, why: str) -> CheckResult:
    return CheckResult(check.label, check.severity, 0, rows, judged=False, message=why)


def _text(check: Anomaly, value: float) -> str:
    if check.measure in SHARES:
        return f"{value:.2%}"
    return f"{value:,.0f}" if check.measure in ("rows", "distinct") else f"{value:.6g}"
