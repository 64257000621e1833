"""The charts of endpoints: what monitors found, over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from mainstem.models.report.svg import Chart, padded, ticks
from mainstem.nodes.status import MonitorHistory

WIDTH, HEIGHT = 380, 150
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
    chart = Chart(span, range_, "", label, f"{found.endpoint}: {found.label} over time", WIDTH, HEIGHT)
    chart.x_ticks = days(*span)
    if found.monitor == "drift":
        chart.y_ticks = [each for each in ticks(*range_, about=4) if each[0] == round(each[0])]
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


def seconds(instant: str) -> float:
    """Return an ISO 8601 text as seconds since 1970."""
    return datetime.fromisoformat(instant).timestamp()


def days(low: float, high: float, most: int = 5) -> Sequence[tuple[float, str]]:
    """Return instants between two, in seconds, with their texts: days, or times of a day."""
    steps = (60, 300, 900, 3_600, 7_200, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000, 7_776_000, 31_536_000)
    step = next((each for each in steps if (high - low) / each <= most), steps[-1])
    first = -(-low // step) * step
    form = "%H:%M" if step < 86_400 else "%d %b" if step < 31_536_000 else "%Y"
    return [
        (at, datetime.fromtimestamp(at, UTC).strftime(form))
        for at in (first + n * step for n in range(int((high - first) // step) + 1))
    ]
