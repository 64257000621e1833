"""Questions to a source that do not collect it: its schema, its identity, and whether it may have changed.

The text of `observe` is saved with the snapshot. If it differs, a plan collects the source again. For an unreachable
source it is a text too, so that the collect step runs and reports the error.
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
    """Return columns and Ibis types of a source by reading it. Declared types win.

    Raises `SourceError`.
    """
    looked = kind_of(source).introspect(source, root, engine)
    named = {name: "string" if type == "null" else type for name, type in looked.items()}
    found = {**named, **(source.schema or {})}
    if not found:
        raise DefinitionError("the source has no columns", expected="at least one", hint="schema={…}")
    return found


def observe(source: Source, root: Path, cursor: str | None) -> str | None:
    """Return a text that changes if `source` may have new data; None if only a read can tell.

    `cursor` is the cursor of its last snapshot.
    """
    kind = kind_of(source)
    try:
        return kind.observe(source, root, cursor)
    except (MainstemError, OSError, ValueError):
        return UNREACHABLE


def settled(source: Source, root: Path) -> str | None:
    """Return the text of `observe` after a collection that begins now, if nothing changes. Call it before the
    collection."""
    kind = kind_of(source)
    try:
        return kind.settled(source, root)
    except (MainstemError, OSError, ValueError):
        return None


def place(source: Source) -> str:
    """Return a digest of the place that the source is read from. A cursor is invalid for another place."""
    return digest(type(source).__name__, canonical(kind_of(source).identity(source)))
