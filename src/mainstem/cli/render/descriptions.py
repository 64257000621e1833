"""Descriptions of relations on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.markup import escape

from mainstem.cli.render.tables import grid
from mainstem.cli.render.words import cell, count
from mainstem.nodes.descriptions import ColumnDescription, Description, Histogram

BARS = "▁▂▃▄▅▆▇█"
LEVELS = 2
WIDEST = 16
BINS = 12
GROUPS = 20
LEAST = 0.01
"""Levels with a smaller share of the rows are left out."""


def description(found: Description) -> Iterator[RenderableType]:
    """Yield what was looked at, a line for every column, and what may be wrong."""
    yield f"[bold]{escape(found.name)}[/]  {count(found.rows)} rows, {len(found.columns)} columns"
    if found.sampled:
        exact = "; nulls, NaN and extremes are of all rows" if found.exact else ""
        yield f"[dim]from {count(found.looked_at)} rows, drawn with a fixed seed{exact}[/]"
    columns = ("column", "type", "missing", "distinct", "distribution", "low", "median", "high", "outliers")
    yield grid(columns, [_column(found, each) for each in found.columns])
    yield from _sections(found)


def bars(bins: Sequence[int]) -> str:
    """Return a histogram as text: at most `BINS` characters, blank for an empty bin."""
    together = -(-len(bins) // BINS) or 1
    bins = [sum(bins[start : start + together]) for start in range(0, len(bins), together)]
    most = max(bins, default=0)
    return "".join(" " if not rows else BARS[min(rows * len(BARS) // most, len(BARS) - 1)] for rows in bins)


def missing(found: Description, column: ColumnDescription) -> str:
    """Return the share of null and NaN: `2.5 %`, or an empty text for none."""
    nulls, nans = column.statistics.nulls, column.statistics.nans
    of = found.rows if found.exact else found.looked_at
    if nulls is None:
        return "?"
    return "" if not nulls + nans else share((nulls + nans) / of)


def share(value: float) -> str:
    """Return a share: `2.5 %`; a small one is `< 0.1 %`."""
    return "< 0.1 %" if 0 < value < 0.001 else f"{value:.1%}".replace("%", " %")


def short(value: Any) -> str:
    """Return a value in a few characters. Instants end with the minute."""
    text = (
        cell(value).strip() if not isinstance(value, str) else value.replace(":00.000000+00:00", "").replace("T", " ")
    )
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _column(found: Description, column: ColumnDescription) -> tuple[Any, ...]:
    statistics = column.statistics
    middle = statistics.quantiles[3] if statistics.quantiles else None
    return (
        column.name,
        statistics.type.replace("timestamp('UTC', 6)", "instant").replace("timestamp(6)", "timestamp"),
        missing(found, column),
        "" if statistics.distinct is None else f"{statistics.distinct:,}",
        _distribution(column),
        *(
            "" if value is None or statistics.text else short(value)
            for value in (statistics.low, middle, statistics.high)
        ),
        count(column.outliers) if column.outliers else "",
    )


def _distribution(column: ColumnDescription) -> str:
    if isinstance(column.histogram, Histogram):
        return bars(column.histogram.bins)
    statistics = column.statistics
    if not statistics.frequent or statistics.frequent[0].rows < LEAST * statistics.sampled:
        return ""
    top = [f"{short(level.value)} {share(level.rows / statistics.sampled)}" for level in statistics.frequent[:LEVELS]]
    return ", ".join(top)


def _sections(found: Description) -> Iterator[RenderableType]:
    yield from (f"[yellow]{escape(line)}[/]" for line in remarks(found))
    variants = [(column.name, each) for column in found.columns for each in column.variants]
    if variants:
        yield "[bold]levels that may mean the same[/]"
    for name, each in variants[:GROUPS]:
        levels = ", ".join(f"{level.value!r} {count(level.rows)}" for level in each.levels)
        yield f"  {escape(name)} ({each.kind}): {escape(levels)}"
    if len(variants) > GROUPS:
        yield f"  and {len(variants) - GROUPS} more groups"
    if found.correlations:
        yield "[bold]correlations[/]"
    for pair in found.correlations:
        yield f"  {pair.value:+.2f}  {escape(' and '.join(pair.columns))}  [dim]{pair.kind}[/]"


def remarks(found: Description) -> Iterator[str]:
    """Yield a line for each thing to look at: duplicates, constant columns, texts that are numbers or dates."""
    if found.key_duplicates:
        yield f"{count(found.key_duplicates)} rows repeat the key {', '.join(found.key)}"
    if found.row_duplicates:
        among = f" of the {count(found.looked_at)} rows read" if found.sampled else ""
        yield f"{count(found.row_duplicates)} rows{among} repeat another row in every column"
    for column in found.columns:
        statistics, shape = column.statistics, column.statistics.text
        if statistics.sampled == 0 and found.looked_at and statistics.distinct is not None:
            yield f"{column.name} has no values"
        elif statistics.distinct == 1 and found.looked_at > 1:
            yield f"{column.name} is constant: {short(statistics.frequent[0].value) if statistics.frequent else '…'}"
        if shape and shape.padded:
            yield f"{column.name}: {share(shape.padded)} of the texts have outer white space"
        if shape and shape.numbers > 0.5:
            yield f"{column.name}: {share(shape.numbers)} of the texts look like numbers"
        if shape and shape.dates > 0.5:
            yield f"{column.name}: {share(shape.dates)} of the texts look like dates"
