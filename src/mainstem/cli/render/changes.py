"""Changed definitions: their diffs, and what they reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.markup import escape

from mainstem.cli.render.words import named

if TYPE_CHECKING:
    from mainstem.nodes.changes import Changed, Reached

LONGEST = 80
"""Lines of a diff that are printed."""
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def changed(found: Sequence[Changed]) -> Iterator[RenderableType]:
    """Yield each changed node with its diff and what it reaches."""
    for each in found:
        yield ""
        yield f"[bold]{escape(each.node)}[/]  [dim]{escape(each.where)}[/]"
        yield from (_line(line) for line in each.diff[:LONGEST])
        if len(each.diff) > LONGEST:
            yield f"  [dim]… {len(each.diff) - LONGEST} more lines: --json[/]"
        if each.what == "reading":
            yield "  it is read otherwise: a remedy or the history of a stream changed"
        if each.note:
            yield f"  {escape(each.note)}"
        if not each.rows:
            yield f"  changes {escape(named(each.columns)) if each.columns else 'no column'}"
        yield from _reaches(each.reaches)


def _line(line: str) -> str:
    colour = "dim" if line.startswith(("---", "+++")) else _COLOURS.get(line[:1])
    return f"  [{colour}]{escape(line)}[/]" if colour else f"  {escape(line)}"


def _reaches(found: Sequence[Reached]) -> Iterator[str]:
    if not found:
        yield "  reaches no other node"
        return
    width = max(len(each.kind) for each in found)
    long = max(len(each.node) for each in found)
    for number, each in enumerate(found):
        told = f"{each.kind:<{width}}  {each.node:<{long}}  {_columns(each)}".rstrip()
        yield f"  {'reaches' if number == 0 else '       '}  {escape(told)}"


def _columns(each: Reached) -> str:
    return named(each.columns) or ("" if each.kind in ("model", "endpoint") else "all columns")
