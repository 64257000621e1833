"""The page of a description: one HTML file with pictures, without scripts, readable in light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from importlib import resources
from typing import Any

from mainstem.masking import masked_all
from mainstem.nodes.descriptions import ColumnDescription, Correlation, Description, Histogram
from mainstem.nodes.statistics import QUANTILES, Level

WIDTH, HEIGHT = 320, 84
LEVELS = 8
LONGEST = 34


def page(found: Description) -> str:
    """Return the page as HTML."""
    css = resources.files("mainstem.pages").joinpath("templates", "description.css").read_text()
    name = _text(found.name)
    cards = "\n".join(_card(found, column) for column in found.columns)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<link rel="icon" href="data:,">
<style>{css}</style>
</head>
<body>
<header><h1>{name}</h1><p class="dim">{_told(found)}</p></header>
<main>
{"".join(_overview(found))}
<div class="cards">
{cards}
</div>
</main>
</body>
</html>
"""


def _told(found: Description) -> str:
    told = f"{found.rows:,} rows, {len(found.columns)} columns"
    if not found.sampled:
        return told
    exact = " Missing values and extremes are of all rows." if found.exact else ""
    return f"{told}. From {found.looked_at:,} rows, drawn with a fixed seed.{exact}"


def _overview(found: Description) -> Iterator[str]:
    facts = [
        (f"{_missing_cells(found):.1%}", "of all cells are missing"),
        *(
            []
            if found.key_duplicates is None
            else [(f"{found.key_duplicates:,}", f"rows repeat the key {', '.join(found.key)}")]
        ),
        *([] if found.row_duplicates is None else [(f"{found.row_duplicates:,}", "rows repeat another row")]),
    ]
    yield '<section class="facts">'
    yield from (f"<div><strong>{value}</strong><span>{_text(label)}</span></div>" for value, label in facts)
    yield "</section>"
    if found.correlations:
        rows = "".join(map(_correlation, found.correlations))
        yield f"<section><h2>Correlations</h2><table class=pairs>{rows}</table></section>"


def _missing_cells(found: Description) -> float:
    return sum(_missing(found, column) for column in found.columns) / max(len(found.columns), 1)


def _missing(found: Description, column: ColumnDescription) -> float:
    of = found.rows if found.exact else found.looked_at
    return ((column.statistics.nulls or 0) + column.statistics.nans) / of if of else 0.0


def _correlation(pair: Correlation) -> str:
    left, size = (50 + min(pair.value, 0) * 50, abs(pair.value) * 50)
    sign = "minus" if pair.value < 0 else "plus"
    bar = f'<span class="axis"><span class="{sign}" style="left:{left:.1f}%;width:{size:.1f}%"></span></span>'
    return (
        f"<tr><td>{_text(pair.columns[0])}</td><td>{_text(pair.columns[1])}</td>"
        f"<td>{bar}</td><td class=n>{pair.value:+.2f}</td><td class=dim>{pair.kind}</td></tr>"
    )


def _card(found: Description, column: ColumnDescription) -> str:
    absent = _missing(found, column)
    key = ' <span class="tag">key</span>' if column.name in found.key else ""
    missing = f"{absent:.1%} missing" if column.statistics.nulls is not None else "missing values not counted"
    gauge = f'<div class="gauge" title="{missing}"><span style="width:{100 - absent * 100:.2f}%"></span></div>'
    return f"""<article>
<h3>{_text(column.name)}{key}<span class="dim">{_text(column.statistics.type)}</span></h3>
{gauge}
{_picture(column)}
<dl>{"".join(f"<dt>{_text(n)}</dt><dd>{_text(v)}</dd>" for n, v in _facts(column, missing))}</dl>
{"".join(_notes(column))}
</article>"""


def _facts(column: ColumnDescription, missing: str) -> Iterator[tuple[str, str]]:
    statistics = column.statistics
    yield "missing", missing.removesuffix(" missing")
    if statistics.distinct is not None:
        yield "distinct", f"{statistics.distinct:,}"
    if statistics.mean is not None and statistics.deviation is not None:
        yield "mean", f"{_value(statistics.mean)} ± {_value(statistics.deviation)}"
    if statistics.quantiles:
        at = dict(zip(QUANTILES, statistics.quantiles, strict=True))
        yield "5 % · 95 %", f"{_value(at[0.05])} · {_value(at[0.95])}"
        yield "quartiles", " · ".join(_value(at[share]) for share in (0.25, 0.5, 0.75))
    if statistics.low is not None:
        yield "range", f"{_value(statistics.low)} – {_value(statistics.high)}"
    if column.outliers is not None:
        yield "outliers", f"{column.outliers:,}"
    if statistics.text:
        shape = statistics.text
        yield "length", f"{shape.shortest} – {shape.longest}, mean {shape.mean:.1f}"


def _notes(column: ColumnDescription) -> Iterator[str]:
    shape = column.statistics.text
    if shape:
        shares = (shape.padded, shape.numbers, shape.dates)
        for share, what in zip(shares, ("have outer white space", "look like numbers", "look like dates"), strict=True):
            if share:
                yield f'<p class="note">{share:.1%} {what}</p>'
    for group in column.variants[:LEVELS]:
        levels = ", ".join(f"“{_text(level.value)}” {level.rows:,}" for level in group.levels)
        yield f'<p class="note">may mean the same ({group.kind}): {levels}</p>'
    if len(column.variants) > LEVELS:
        yield f'<p class="note">and {len(column.variants) - LEVELS} more groups of levels</p>'


# ── pictures ──────────────────────────────────────────────────────────────────────────────────────────


def _picture(column: ColumnDescription) -> str:
    if column.histogram is not None:
        return _bars(column.histogram)
    levels = [level for level in column.statistics.frequent if level.rows > 1 or column.statistics.complete][:LEVELS]
    if levels:
        return _levels(levels, column.statistics.sampled)
    return f'<p class="dim none">{"no value repeats" if column.statistics.sampled else "no values"}</p>'


def _bars(found: Histogram) -> str:
    """Return a histogram with its ends, and how many values are outside."""
    most, step = max(found.bins, default=0), WIDTH / max(len(found.bins), 1)
    shapes = "".join(
        f'<rect x="{number * step + 0.75:.1f}" y="{HEIGHT - size:.1f}" '
        f'width="{max(step - 1.5, 1):.1f}" height="{size:.1f}" rx="1"><title>{rows:,}</title></rect>'
        for number, rows in enumerate(found.bins)
        if rows and (size := max(rows / most * (HEIGHT - 4), 1.5))
    )
    outside = " · ".join(
        f"{rows:,} {where}" for rows, where in ((found.below, "below"), (found.above, "above")) if rows
    )
    middle = f"<span>{outside}</span>" if outside else ""
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="histogram" preserveAspectRatio="none">'
        f'{shapes}<line x1="0" x2="{WIDTH}" y1="{HEIGHT}" y2="{HEIGHT}"/></svg>'
        f"<figcaption><span>{_text(_value(found.low))}</span>{middle}<span>{_text(_value(found.high))}</span></figcaption>"
        "</figure>"
    )


def _levels(levels: list[Level], total: int) -> str:
    rows = "".join(
        f'<tr><td title="{_text(level.value)}">{_text(_short(level.value))}</td>'
        f'<td><span class="bar" style="width:{level.rows / max(total, 1) * 100:.1f}%"></span></td>'
        f"<td class=n>{level.rows / max(total, 1):.1%}</td></tr>"
        for level in levels
    )
    return f"<table class=levels>{rows}</table>"


def _short(value: Any) -> str:
    text = _value(value) if str(value).strip() else repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _value(value: Any) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return str(value).lower()
        case int():
            return f"{value:,}" if abs(value) >= 10_000 else str(value)  # years have no separator
        case float():
            return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.4g}"
    return str(value).replace(":00.000000+00:00", "").replace(".000000+00:00", "").replace("T", " ")


def _text(value: Any) -> str:
    return escape(str(masked_all(str(value))))
