"""What was merged or erased of the stored data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.markup import escape

from mainstem.cli.render.tables import grid

if TYPE_CHECKING:
    from mainstem.nodes.erasures import Erasure
    from mainstem.project.compaction import Compacted


def compacted(found: Sequence[Compacted]) -> Iterator[RenderableType]:
    """Yield a table of merged files, and why some were left."""
    if not found:
        yield "nothing to merge: no relation has several small files"
        return
    columns = ("relation", "files", "merged into", "written", "")
    rows = [(each.name, each.before, each.after, _size(each.bytes), each.left) for each in found]
    yield grid(columns, rows)


def erased(found: Erasure) -> Iterator[RenderableType]:
    """Yield what was erased, or would be, and what was not reached."""
    would = "would be " if found.rehearsed else ""
    if found.rows:
        columns = ("branch", "relation", f"rows {would}erased")
        yield grid(columns, [(*name.split(": ", 1), count) for name, count in found.rows.items()])
    else:
        yield f"no published row has this key in {escape(', '.join(found.columns))}"
    files = f"{found.files:,} data {'file' if found.files == 1 else 'files'} with such rows"
    yield f"{files} of all releases {'would be deleted' if found.rehearsed else 'deleted'}"
    told = (
        ("cannot be read or published any more", found.releases),
        ("cannot be trained again as they were", found.versions),
        ("built again online", found.views),
        ("still computed from such rows until the next run", found.derived),
    )
    for text, names in told:
        if names:
            yield f"{text}: {escape(_some(names))}"
    for text in found.left:
        yield f"[dim]not reached: {escape(text)}[/]"
    if found.rehearsed and (found.rows or found.files):
        yield "[dim]nothing was changed; --yes erases[/]"


def _size(bytes: int) -> str:
    if not bytes:
        return ""
    return f"{bytes / 2**20:,.1f} MiB" if bytes >= 2**20 else f"{bytes / 2**10:,.1f} KiB"


def _some(names: Sequence[str], shown: int = 6) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown:,} more" if len(names) > shown else "")
