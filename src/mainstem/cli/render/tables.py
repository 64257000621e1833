"""Tables of rows and of check results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from mainstem.cli.render.words import cell, count
from mainstem.masking import masked, masked_all

if TYPE_CHECKING:
    from mainstem.nodes.records import CheckResult

NUMBER = (int, float)


def grid(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, markup: bool = False, counts: Sequence[str] = ()
) -> Table:
    """Return a plain table: header, line, rows. Numbers are right-aligned; those of `counts` are like `336,776`."""
    values = list(rows)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for index, name in enumerate(columns):
        numeric = bool(values) and all(isinstance(row[index], NUMBER) or row[index] in (None, "") for row in values)
        table.add_column(escape(masked(name)), justify="right" if numeric else "left", overflow="fold")
    for row in values:
        cells = zip(columns, row, strict=True)
        table.add_row(*(count(value) if name in counts else _text(value, markup) for name, value in cells))
    return table


def rows(columns: Sequence[str], records: Sequence[Mapping[str, Any]], width: int) -> Iterator[RenderableType]:
    """Yield rows as a table if it fits into `width` characters, else one block of lines per row."""
    values = [[masked_all(record.get(name)) for name in columns] for record in records]
    widest = [max(map(len, (name, *(cell(row[i]) for row in values)))) for i, name in enumerate(columns)]
    if sum(widest) + 3 * len(widest) <= width:
        yield grid(columns, values)
        return
    names = [f"{name:<{max(map(len, columns))}}" for name in columns]
    for number, row in enumerate(values, 1):
        yield f"[dim]── row {number} ──[/]"
        yield from (f"  [dim]{escape(name)}[/]  {escape(cell(value))}" for name, value in zip(names, row, strict=True))


def checks(results: Mapping[str, Sequence[CheckResult]]) -> Table:
    """Return the results of each node's checks."""
    lines = [
        (escape(node), escape(result.label), result.severity, verdict(result), result.rows)
        for node, found in results.items()
        for result in found
    ]
    return grid(("node", "check", "severity", "found", "of rows"), lines, markup=True, counts=("of rows",))


def verdict(result: CheckResult) -> str:
    """Return `passed`, or the number of rows that violate the check, and the share of rows that a join matched.

    A check of a whole table has a message instead.
    """
    if not result.judged:
        return f"[yellow]not judged: {escape(result.message)}[/]"
    share = "" if result.share is None else f", {result.share:.1%} match"
    if result.passed:
        return f"[green]passed[/]{share}"
    style = "red" if result.severity == "error" else "yellow"
    if result.message:
        return f"[{style}]{escape(result.message)}[/]"
    return f"[{style}]{count(result.violations)} violation{'s' if result.violations > 1 else ''}[/]{share}"


def _text(value: Any, markup: bool) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    # Before the table folds a long text, which may separate the parts of a secret.
    return masked(value if markup and isinstance(value, str) else escape(cell(value)))
