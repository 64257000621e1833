"""The charts of a report, each from one record of the evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import log2

from mainstem.models.report.svg import Chart, padded, ticks
from mainstem.models.report.tables import place_of
from mainstem.models.versions.report import interval, number
from mainstem.nodes.descriptions import Histogram
from mainstem.nodes.evaluations import (
    Block,
    Calibration,
    Curve,
    Dependence,
    Importance,
    LearningPoint,
    Residuals,
    ScoreHistogram,
    Span,
)

SERIES = ("one", "two", "three", "four", "five", "six")
UNIT = (0.0, 1.0)
FEW = 5
"""Numbers of which there are so few values are drawn as levels."""


def series(place: int) -> str:
    return SERIES[place % len(SERIES)]


def roc(curves: Sequence[Curve]) -> str:
    """Return the ROC curve of each class."""
    chart = Chart(UNIT, UNIT, "false positive rate", "recall", "ROC curve")
    chart.rule(UNIT, UNIT)
    for place, curve in enumerate(curves):
        chart.line([0.0, *curve.fallout], [0.0, *curve.recall], series(place))
    return chart.svg()


def precision_recall(curves: Sequence[Curve], threshold: float | None = None) -> str:
    """Return precision by recall of each class, the base rate of a single one, and the point of a threshold."""
    chart = Chart(UNIT, UNIT, "recall", "precision", "precision by recall")
    if len(curves) == 1:
        rate = curves[0].positives / curves[0].rows
        chart.rule(UNIT, (rate, rate))
    for place, curve in enumerate(curves):
        chart.line(curve.recall, curve.precision, series(place))
    if threshold is not None and len(curves) == 1:
        at = place_of(curves[0], threshold)
        tip = (
            f"threshold {number(threshold)}: precision {curves[0].precision[at]:.3f}, recall {curves[0].recall[at]:.3f}"
        )
        chart.point(curves[0].recall[at], curves[0].precision[at], tip, "mark", 4.5)
    return chart.svg()


def by_threshold(curve: Curve, threshold: float | None = None) -> str:
    """Return precision, recall and false positive rate by threshold."""
    chart = Chart(UNIT, UNIT, "threshold", "share", "precision and recall by threshold")
    for place, values in enumerate((curve.precision, curve.recall, curve.fallout)):
        chart.line(curve.thresholds, values, series(place))
    if threshold is not None:
        chart.rule((threshold, threshold), UNIT, "mark-line")
    return chart.svg()


def calibration(found: Sequence[Calibration]) -> str:
    """Return how often each class occurs, by its mean score; the diagonal is perfect."""
    most = max((max(b.score, b.high) for each in found for b in each.bins), default=1.0)
    top = next((edge for edge in (0.05, 0.1, 0.25, 0.5) if most <= edge), 1.0)
    chart = Chart((0, top), (0, top), "predicted probability", "observed rate", "calibration")
    chart.rule((0, top), (0, top))
    for place, each in enumerate(found):
        name = series(place)
        for b in each.bins if len(found) == 1 else ():
            chart.upright(b.score, b.low, b.high, name)
        chart.line([b.score for b in each.bins], [b.rate for b in each.bins], name)
        for b in each.bins:
            observed = f"{b.rate:.3f} ({b.low:.3f}–{b.high:.3f})"
            tip = f"{each.label}: predicted {b.score:.3f}, observed {observed}, {b.rows:,} rows"
            chart.point(b.score, b.rate, tip, name, 3.2 if len(found) == 1 else 2.2)
    return chart.svg()


def histograms(found: Sequence[ScoreHistogram], label: str) -> str:
    """Return histograms over each other, as shares of their rows."""
    low, high = min(h.histogram.low for h in found), max(h.histogram.high for h in found)
    shares = [[n / max(h.rows, 1) for n in h.histogram.bins] for h in found]
    top = max((max(each, default=0) for each in shares), default=1) * 1.05 or 1.0
    chart = Chart((low, high), (0, top), label, "share of rows", "histogram", left=54, y_ticks=_percent(top))
    for place, (each, share) in enumerate(zip(found, shares, strict=True)):
        step = (each.histogram.high - each.histogram.low) / len(share)
        for i, value in enumerate(share):
            if value:
                a = each.histogram.low + i * step
                tip = f"{each.label}: {each.histogram.bins[i]:,} rows from {number(a)} to {number(a + step)}"
                chart.bar((a, a + step * 0.94), (0, value), tip, f"{series(place)} see-through")
    return chart.svg()


def residuals(found: Residuals) -> str:
    """Return target − prediction by the prediction: median, and the 10 % to 90 % range."""
    x = [b.predicted for b in found.bins]
    span = padded(min(0.0, *(b.low for b in found.bins)), max(0.0, *(b.high for b in found.bins)))
    chart = Chart(padded(min(x), max(x)), span, "predicted value", "target − prediction", "residuals", left=54)
    chart.rule(chart.x, (0, 0))
    chart.band(x, [b.low for b in found.bins], [b.high for b in found.bins])
    chart.line(x, [b.middle for b in found.bins])
    for b in found.bins:
        spread = f"{number(b.low)} to {number(b.high)}, median {number(b.middle)}"
        tip = f"predicted {number(b.predicted)}: {spread}, {b.rows:,} rows"
        chart.point(b.predicted, b.middle, tip)
    return chart.svg()


def residual_histogram(found: Histogram) -> str:
    """Return the histogram of residuals, with a line at 0."""
    top = max(found.bins, default=1) * 1.05 or 1.0
    chart = Chart((found.low, found.high), (0, top), "target − prediction", "rows", "residuals")
    step = (found.high - found.low) / max(len(found.bins), 1)
    for place, rows in enumerate(found.bins):
        if rows:
            a = found.low + place * step
            chart.bar((a, a + step * 0.94), (0, rows), f"{rows:,} rows from {number(a)} to {number(a + step)}")
    chart.rule((0, 0), (0, top), "mark-line")
    return chart.svg()


def importances(found: Sequence[Importance], metric: str) -> str:
    """Return each input with the loss in the metric and its interval, as lying bars."""
    height = 22 * len(found) + 52
    low = min(0.0, *(each.loss.low for each in found))
    high = max(each.loss.high for each in found)
    chart = Chart(
        (low, high * 1.02 if high > low else low + 1), (len(found), 0), f"loss in {metric} when shuffled",
        title="permutation importance", height=height, width=560, left=190,
        y_ticks=[],
    )  # fmt: skip
    for value, _ in ticks(*chart.x):
        chart.rule((value, value), (0, len(found)), "grid")
    for place, each in enumerate(found):
        chart.bar((0, each.loss.value), (place + 0.24, place + 0.76), f"{each.input}: {interval(each.loss)}")
        chart.lying(place + 0.5, each.loss.low, each.loss.high, "over")
        chart.name_row(place + 0.5, each.input)
    return chart.svg()


def dependence(found: Dependence, label: str) -> str:
    """Return the score by one input: a line with a band for numbers, points for texts."""
    single = len(found.lines) == 1
    values = [v for line in found.lines for v in ((*line.low, *line.high) if single else line.mean)]
    y = padded(min(values), max(values))
    numbers = [v for v in found.values if not isinstance(v, str)]
    if len(numbers) == len(found.values) > FEW:
        chart = Chart(
            padded(min(numbers), max(numbers), 0.02), y, found.input, label, f"effect of {found.input}", height=220
        )
        for place, line in enumerate(found.lines):
            if single:
                chart.band(numbers, line.low, line.high, series(place))
            chart.line(numbers, line.mean, series(place))
        return chart.svg()
    x_ticks = [
        (float(i), _cut(v if isinstance(v, str) else number(v), max(4, 48 // len(found.values))))
        for i, v in enumerate(found.values)
    ]
    chart = Chart(
        (-0.5, len(found.values) - 0.5), y, found.input, label, f"effect of {found.input}", height=220, x_ticks=x_ticks
    )
    for place, line in enumerate(found.lines):
        for i, value in enumerate(found.values):
            at = i + (place - (len(found.lines) - 1) / 2) * 0.12
            if single:
                chart.upright(at, line.low[i], line.high[i], series(place))
            chart.point(at, line.mean[i], f"{value} {line.label}: {number(line.mean[i])}", series(place))
    return chart.svg()


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def stability(found: Sequence[Block], metric: str) -> str:
    """Return the metric in blocks of time with intervals, and the baseline's."""
    values = [v for b in found for v in (b.measure.low, b.measure.high, *([b.naive] if b.naive is not None else []))]
    starts = [b.start.timestamp() for b in found]
    ends = [b.end.timestamp() for b in found]
    chart = Chart(
        (starts[0], ends[-1]), padded(min(values), max(values)), "", metric, "stability over time",
        width=780, height=230, left=54, x_ticks=_dates(found[0].start.timestamp(), found[-1].end.timestamp()),
    )  # fmt: skip
    middles = [(a + b) / 2 for a, b in zip(starts, ends, strict=True)]
    naive = [(m, b.naive) for m, b in zip(middles, found, strict=True) if b.naive is not None]
    chart.line([m for m, _ in naive], [v for _, v in naive], "faint")
    chart.line(middles, [b.measure.value for b in found])
    for at, b in zip(middles, found, strict=True):
        chart.upright(at, b.measure.low, b.measure.high)
        when = f"{b.start:%Y-%m-%d} to {b.end:%Y-%m-%d}"
        chart.point(at, b.measure.value, f"{when}: {interval(b.measure)}, {b.measure.rows:,} rows")
    return chart.svg()


def learning(found: Sequence[LearningPoint], metric: str) -> str:
    """Return the metric by the rows that were learned from, at equal distances for each doubling."""
    values = [v for p in found for v in (p.measure.low, p.measure.high)]
    places = [log2(p.rows) for p in found]
    x_ticks = [(at, f"{p.rows:,}") for at, p in zip(places, found, strict=True)]
    chart = Chart(
        padded(places[0], places[-1]), padded(min(values), max(values)), "rows learned from", metric,
        "learning curve", height=220, left=54, x_ticks=x_ticks,
    )  # fmt: skip
    chart.line(places, [p.measure.value for p in found])
    for at, p in zip(places, found, strict=True):
        chart.upright(at, p.measure.low, p.measure.high)
        chart.point(at, p.measure.value, f"{p.rows:,} rows: {interval(p.measure)}")
    return chart.svg()


def timeline(spans: Sequence[Span]) -> str:
    """Return the parts of the version and of each fold, one line each."""
    lines = list(dict.fromkeys(span.line for span in spans))
    low, high = min(s.start.timestamp() for s in spans), max(s.end.timestamp() for s in spans)
    chart = Chart(
        (low, high), (len(lines), 0), title="splits on the time axis", width=780, height=24 * len(lines) + 50, left=74,
        x_ticks=_dates(low, high), y_ticks=[],
    )  # fmt: skip
    for place, name in enumerate(lines):
        for span in spans:
            if span.line == name:
                tip = (
                    f"{name}, {span.part}: {span.start:%Y-%m-%d %H:%M} to {span.end:%Y-%m-%d %H:%M}, {span.rows:,} rows"
                )
                sides = (span.start.timestamp(), span.end.timestamp())
                chart.bar(sides, (place + 0.2, place + 0.8), tip, f"part-{span.part}")
        chart.name_row(place + 0.5, name)
    return chart.svg()


def _dates(low: float, high: float) -> list[tuple[float, str]]:
    """Return six evenly spaced instants: dates, or hours within a few days."""
    shape = "%Y-%m-%d" if high - low > 4 * 86_400 else "%m-%d %H:%M"
    places = [low + (high - low) * (0.06 + 0.88 * k / 5) for k in range(6)]
    return [(at, datetime.fromtimestamp(at, UTC).strftime(shape)) for at in places]


def _percent(top: float) -> list[tuple[float, str]]:
    found = [value for value, _ in ticks(0, top)]
    whole = all(abs(value * 100 - round(value * 100)) < 1e-9 for value in found)
    return [(value, f"{value:.0%}" if whole else f"{value:.1%}") for value in found]
