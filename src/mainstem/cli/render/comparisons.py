"""A champion and its challenger on live requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.markup import escape

from mainstem.cli.render.tables import grid
from mainstem.nodes.comparisons import Comparison, Side


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
