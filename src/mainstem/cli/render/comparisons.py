"""A champion and its challenger on live requests, and two versions side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.markup import escape

from mainstem.cli.render.tables import grid
from mainstem.nodes.comparisons import Comparison, Side
from mainstem.nodes.contenders import SideBySide
from mainstem.nodes.records import Measure


def comparison(found: Comparison) -> Iterator[RenderableType]:
    """Yield the two versions, and a sentence."""
    yield f"[bold]{escape(found.endpoint)}[/]  {found.way}"
    levels = list(found.champion.scores or found.challenger.scores)
    columns = ("version", "role", "rows", "outcomes", found.metric, *(f"score {float(level):.0%}" for level in levels))
    sides = ((found.champion, "champion"), (found.challenger, found.way))
    yield grid(columns, [_side(side, role, levels) for side, role in sides], counts=("rows", "outcomes"))
    for side, role in sides:
        if side.decisions:
            told = ", ".join(f"{name} {count / side.rows:.1%}" for name, count in side.decisions.items())
            yield escape(f"decisions of the {role}: {told}")
    yield escape(found.text)


def _side(side: Side, role: str, levels: list[str]) -> tuple[Any, ...]:
    measure = side.measure
    told = f"{measure.value:.3f} [{measure.low:.3f}, {measure.high:.3f}]" if measure else "–"
    scores = [f"{side.scores[level]:.3f}" if level in side.scores else "–" for level in levels]
    return (side.version, role, side.rows, side.outcomes, told, *scores)


def side_by_side(found: SideBySide) -> Iterator[RenderableType]:
    """Yield the metrics of two versions, what differs between them, and a sentence."""
    one, two = found.first, found.second
    yield f"[bold]{escape(one.version)}[/] and [bold]{escape(two.version)}[/]"
    yield "each on its own test rows, with 95 % intervals"
    measured = [
        (name, _measured(a), _naive(one.baseline.get(name)), _measured(b), _naive(two.baseline.get(name)))
        for name, a, b in found.metrics
    ]
    yield grid(("metric", one.version, "naive", two.version, "naive"), measured)
    yield ""
    if found.differing:
        rows = [(each.part, each.name, each.first or "–", each.second or "–") for each in found.differing]
        yield grid(("differs", "", one.version, two.version), rows)
    if found.alike:
        yield escape(found.alike)
    yield ""
    yield escape(found.text)


def _measured(found: Measure | None) -> str:
    from mainstem.models.versions.report import interval

    return "–" if found is None else interval(found)


def _naive(found: Measure | None) -> str:
    from mainstem.models.versions.report import number

    return "–" if found is None else number(found.value)
