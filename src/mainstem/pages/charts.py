"""The charts of endpoints: what monitors found, over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from mainstem.models.report.charts import series
from mainstem.models.report.svg import Chart, padded, ticks
from mainstem.nodes.status import DayStatus, MonitorHistory

WIDTH, HEIGHT, LEFT = 380, 170, 54
DAY = 86_400
MOST = 5
"""The inputs whose nulls are drawn."""

MARK = {"failing": "bad", "fine": "one"}


def history(found: MonitorHistory) -> str:
    """Return the values of a monitor over time, with their intervals and its bound. Failing ones are marked."""
    points = [each for each in found.points if each.value is not None]
    if not points:
        return ""
    values = [v for p in points for v in (p.value, p.low, p.high) if v is not None]
    values += [] if found.floor is None else [found.floor]
    times = [seconds(each.judged_at) for each in points]
    span = padded(min(times), max(times), 0.03) if len(times) > 1 else (times[0] - 43_200, times[0] + 43_200)
    label = found.metric.replace("_", " ") or "inputs that drifted"
    range_ = (0.0, max(values) + 1) if found.monitor == "drift" else padded(min(values), max(values), 0.1)
    chart = Chart(span, range_, "", label, f"{found.endpoint}: {found.label} over time", WIDTH, HEIGHT, LEFT)
    chart.x_ticks = days(*span)
    if found.monitor == "drift":
        chart.y_ticks = [(at, f"{at:.0f}") for at, _text in ticks(*range_, about=4) if at == round(at)]
    if found.floor is not None:
        chart.rule(span, (found.floor, found.floor), "mark-line")
    if len(points) > 1:
        chart.line(times, [p.value for p in points if p.value is not None], "one")
    for time, each in zip(times, points, strict=True):
        name = MARK.get(each.judgement, "one")
        if each.low is not None and each.high is not None:
            chart.upright(time, each.low, each.high, name)
        assert each.value is not None
        chart.point(time, each.value, f"{each.judged_at[:16].replace('T', ' ')}: {each.text}", name, 3.6)
    return chart.svg()


def distributions(days: Sequence[DayStatus]) -> list[tuple[str, str]]:
    """Return charts of how predictions are distributed, each with its title."""
    if not days:
        return []
    charts = [
        ("scores by day: median, quartiles, 5 to 95 %", _scores(days)),
        (f"scores of {days[-1].day}", _histogram(days[-1])),
        ("decisions by day", _decisions(days)),
        ("nulls of inputs and unknown entities by day", _missing(days)),
    ]
    return [(title, chart) for title, chart in charts if chart]


def _scores(days: Sequence[DayStatus]) -> str:
    some = [each for each in days if each.quantiles]
    if len(some) < 2:
        return ""
    low, high = min(each.quantiles[0] for each in some), max(each.quantiles[-1] for each in some)
    chart, times = _by_day(some, padded(low, high), "score", "scores by day")
    for first, last, name in ((0, 4, "wide"), (1, 3, "near")):
        chart.band(times, [e.quantiles[first] for e in some], [e.quantiles[last] for e in some], name)
    chart.line(times, [each.quantiles[2] for each in some])
    return chart.svg()


def _histogram(day: DayStatus) -> str:
    if not day.histogram:
        return ""
    most, count = max(day.histogram), len(day.histogram)
    chart = Chart((0, 1), (0, most or 1), "score", "predictions", f"scores of {day.day}", WIDTH, HEIGHT, LEFT)
    for n, rows in enumerate(day.histogram):
        low, high = n / count, (n + 1) / count
        if rows:
            chart.bar((low + 0.002, high - 0.002), (0, rows), f"{low:.2f} to {high:.2f}: {rows:,}")
    return chart.svg()


def _decisions(days: Sequence[DayStatus]) -> str:
    some = [each for each in days if each.decisions]
    if not some:
        return ""
    names = list(dict.fromkeys(name for each in some for name in each.decisions))
    chart, times = _by_day(some, (0, 1), "share", "decisions by day", 0.5)
    for time, each in zip(times, some, strict=True):
        total, bottom = sum(each.decisions.values()), 0.0
        for place, name in enumerate(names):
            share = each.decisions.get(name, 0) / total
            if share:
                tip = f"{each.day}: {name} {share:.1%} ({each.decisions[name]:,})"
                chart.bar((time - 0.42 * DAY, time + 0.42 * DAY), (bottom, bottom + share), tip, series(place))
            bottom += share
    return chart.svg() + _legend(names)


def _missing(days: Sequence[DayStatus]) -> str:
    """Return the shares of the inputs with the most nulls, and of unknown entities."""
    most = {name: max(each.nulls.get(name, 0.0) for each in days) for each in days for name in each.nulls}
    names = sorted(most, key=lambda name: -most[name])[:MOST]
    lines = {name: [each.nulls.get(name, 0.0) for each in days] for name in names}
    if any(each.unknown for each in days):
        lines["unknown entity"] = [each.unknown for each in days]
    if not lines:
        return ""
    top = max(max(values) for values in lines.values())
    chart, times = _by_day(days, (0, min(1.0, top * 1.15)), "share", "nulls and unknown entities by day")
    for place, (name, values) in enumerate(lines.items()):
        if len(times) > 1:
            chart.line(times, values, series(place))
        for time, value, each in zip(times, values, days, strict=True):
            chart.point(time, value, f"{each.day}: {name} {value:.1%}", series(place), 2.4)
    return chart.svg() + _legend(list(lines))


def _by_day(
    days: Sequence[DayStatus], y: tuple[float, float], label: str, title: str, room: float = 0.1
) -> tuple[Chart, list[float]]:
    """Return a chart by day with `room` in days at both ends, and the times of the days."""
    times = [seconds(f"{each.day}T00:00:00+00:00") for each in days]
    span = (times[0] - room * DAY, times[-1] + room * DAY)
    chart = Chart(span, y, "", label, title, WIDTH, HEIGHT, LEFT)
    every = -(-len(times) // 5)
    chart.x_ticks = [(time, datetime.fromtimestamp(time, UTC).strftime("%d %b")) for time in times[::every]]
    return chart, times


def _legend(names: Sequence[str]) -> str:
    keys = (f'<span class="key {series(n)}"></span>{escape(name)}' for n, name in enumerate(names))
    return f'<div class="keys small">{" ".join(f"<span>{key}</span>" for key in keys)}</div>'


def seconds(instant: str) -> float:
    """Return an ISO 8601 text as seconds since 1970."""
    return datetime.fromisoformat(instant).timestamp()


def days(low: float, high: float, most: int = 5) -> Sequence[tuple[float, str]]:
    """Return instants between two, in seconds, with their texts: days, or times of a day."""
    steps = (10, 60, 300, 900, 3_600, 7_200, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000, 7_776_000, 31_536_000)
    step = next((each for each in steps if (high - low) / each <= most), steps[-1])
    first = -(-low // step) * step
    form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86_400 else "%d %b" if step < 31_536_000 else "%Y"
    return [
        (at, datetime.fromtimestamp(at, UTC).strftime(form))
        for at in (first + n * step for n in range(int((high - first) // step) + 1))
    ]
