"""What is asked of any source without collecting it: its schema, its identity, and whether it may have changed.

The text that `observe` gives is kept with the snapshot; a plan collects the source again when it differs. An
unreachable source gives a text too, so that the collect step runs and says clearly what is wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mainstem.errors import DefinitionError, MainstemError
from mainstem.graph.fingerprint import canonical, digest
from mainstem.nodes.sources import Source
from mainstem.sources.kinds import kind_of

if TYPE_CHECKING:
    from mainstem.ports import Engine

UNREACHABLE = "unreachable"


def introspect(source: Source, root: Path, engine: Engine) -> dict[str, str]:
    """Return columns and Ibis types of a source, by looking at it; what it declares itself wins.

    Raises `SourceError`.
    """
    found = {**kind_of(source).introspect(source, root, engine), **(source.schema or {})}
    if not found:
        raise DefinitionError("the source has no columns", expected="at least one", hint="schema={…}")
    return found


def observe(source: Source, root: Path, cursor: str | None) -> str | None:
    """Return a text that changes when `source` may have new data; None where only reading it tells.

    `cursor` is that of its last snapshot.
    """
    kind = kind_of(source)
    try:
        return kind.observe(source, root, cursor)
    except (MainstemError, OSError, ValueError):
        return UNREACHABLE


def settled(source: Source, root: Path) -> str | None:
    """Return what `observe` will give if nothing happens after a collection that begins now; ask before it begins."""
    kind = kind_of(source)
    try:
        return kind.settled(source, root)
    except (MainstemError, OSError, ValueError):
        return None


def place(source: Source) -> str:
    """Return a digest of what the source is read from; a cursor says nothing about another place."""
    return digest(type(source).__name__, canonical(kind_of(source).identity(source)))
