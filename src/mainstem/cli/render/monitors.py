"""What monitors found, over time: a sparkline, and the last judgements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.markup import escape

from mainstem.cli.render.tables import grid
from mainstem.cli.render.words import instant
from mainstem.nodes.status import MonitorHistory, MonitorPoint

BLOCKS = "▁▂▃▄▅▆▇█"
LONGEST = 60
COLOURS = {"failing": "red", "not enough rows": "dim"}


def histories(found: Sequence[MonitorHistory], limit: int) -> Iterator[RenderableType]:
    """Yield each monitor with its last `limit` judgements, the newest last."""
    if not found:
        yield "nothing was judged yet: mainstem run judges, once there are predictions"
    for each in found:
        failing = sum(point.judgement == "failing" for point in each.points)
        count = f"{len(each.points):,} judgement{'' if len(each.points) == 1 else 's'}, {failing:,} failing"
        bound = "" if each.floor is None else f", bound {each.floor:g}"
        yield f"[bold]{escape(each.label)}[/]  {count}{bound}"
        if line := sparkline(each.points):
            yield line
        if limit:
            yield grid(("judged", "predictions", "outcomes", "found"), map(_point, each.points[-limit:]), markup=True)
        yield ""


def sparkline(points: Sequence[MonitorPoint]) -> str:
    """Return the last values as blocks between the lowest and the highest; failing ones in red."""
    values = [(each.value, each.judgement) for each in points if each.value is not None][-LONGEST:]
    if not values:
        return ""
    low, high = min(v for v, _ in values), max(v for v, _ in values)
    marks = []
    for value, judgement in values:
        block = BLOCKS[round((value - low) / (high - low) * (len(BLOCKS) - 1))] if high > low else BLOCKS[3]
        colour = COLOURS.get(judgement)
        marks.append(f"[{colour}]{block}[/]" if colour else block)
    return f"{''.join(marks)}  [dim]{low:.4g} to {high:.4g}[/]"


def _point(found: MonitorPoint) -> tuple[Any, ...]:
    colour, text = COLOURS.get(found.judgement), escape(found.text)
    told = f"[{colour}]{text}[/]" if colour else text
    return (instant(found.judged_at), f"{found.rows:,}", f"{found.outcomes:,}", told)
