"""How the published data of two releases differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.markup import escape

from mainstem.cli.render.words import cell, count, named

if TYPE_CHECKING:
    from mainstem.nodes.differences import Difference, Example, TableDifference

_MARKS = {"added": "[green]+[/]", "removed": "[red]-[/]", "changed": "[yellow]~[/]"}


def difference(found: Difference) -> Iterator[RenderableType]:
    """Yield the tables that differ, each with counts and examples, and then the equal ones."""
    for each in found.tables:
        if each.state != "equal":
            yield from _table(each, data=found.data)
    for name, (before, after) in found.others.items():
        yield escape(f"{name}: {before or 'none'} → {after or 'none'}")
    equal = [each.table for each in found.tables if each.state == "equal"]
    if equal:
        yield f"[dim]equal: {escape(named(equal))}[/]"


def _table(each: TableDifference, *, data: bool) -> Iterator[str]:
    before, after = each.rows
    if each.state != "differs":
        yield f"[bold]{escape(each.table)}[/]  {each.state}, {count(after if before is None else before)} rows"
        return
    rows = f"{count(before)} → {count(after)} rows"
    if not data:
        yield f"[bold]{escape(each.table)}[/]  {rows}; --data compares them"
        return
    how = f"by {', '.join(each.key)}" if each.key else f"as a multiset: {each.note or 'the table has no key'}"
    yield f"[bold]{escape(each.table)}[/]  {rows}, compared {escape(how)}"
    counts = [f"{count(n)} {what}" for what, n in (("added", each.added), ("removed", each.removed)) if n]
    if each.changed:
        columns = [f"{name} {count(n)}" for name, n in sorted(each.columns.items(), key=lambda item: -item[1])]
        counts.append(f"{count(each.changed)} changed ({named(columns)})")
    yield f"  {escape(', '.join(counts) or 'the rows are equal')}"
    yield from _columns(each)
    for what, examples in each.examples.items():
        yield from (f"  {_MARKS[what]} {escape(_example(example))}" for example in examples)


def _columns(each: TableDifference) -> Iterator[str]:
    if each.new:
        yield f"  new columns: {escape(named(each.new))}"
    if each.gone:
        yield f"  dropped columns: {escape(named(each.gone))}"
    for name, (before, after) in each.retyped.items():
        yield f"  {escape(name)}: {escape(before)} → {escape(after)}, not compared"


def _example(example: Example) -> str:
    values = ", ".join(f"{name}={cell(value)}" for name, value in example.key.items())
    pairs = ", ".join(f"{name} {_shown(old)} → {_shown(new)}" for name, (old, new) in example.changed.items())
    return f"{values}: {pairs}" if pairs else values


def _shown(value: object) -> str:
    return "null" if value is None else cell(value)
