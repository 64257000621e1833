"""An explanation as text: a line for each input, with a bar."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape

from mainstem.cli.render.tables import grid
from mainstem.cli.render.words import cell
from mainstem.nodes.explanations import Explanation, figure

BAR = 24


def explanation(found: Explanation) -> Iterator[RenderableType]:
    """Yield the score, then the base and what each input adds to it."""
    label = f" of {found.label}" if found.label else ""
    yield f"[bold]{escape(found.version)}[/]  score{escape(label)} {figure(found.score)}"
    most = max((abs(each.effect) for each in found.contributions), default=0.0) or 1.0
    rows = [("base", "", figure(found.base), f"the mean of {found.background} rows that it learned from")]
    for each in found.contributions:
        bar = "█" * round(abs(each.effect) / most * BAR) or "▏"
        rows.append(
            (each.input, cell(each.value), f"{figure(each.effect, '+')} ± {figure(float(f'{each.error:.2g}'))}", bar)
        )
    yield grid(("input", "value", "adds", ""), rows)
