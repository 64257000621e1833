"""Whether rows of a source can be taken in again."""

from __future__ import annotations

from mainstem.checks.audit import QUARANTINE
from mainstem.errors import NotFound, UnknownName
from mainstem.nodes.definition import Graph
from mainstem.nodes.records import Release
from mainstem.nodes.sources import Source
from mainstem.project.aside import UNREADABLE


def refuse_reingest(graph: Graph, release: Release, name: str) -> None:
    """Raise `UnknownName` for a node that is no source, and `NotFound` for a source without rows set aside."""
    sources = list(graph.of(Source))
    if name not in sources:
        raise UnknownName.among("source", name, sources)
    aside = (release.tables.get(prefix + name) for prefix in (QUARANTINE, UNREADABLE))
    if not any(each is not None and each.rows for each in aside):
        raise NotFound(f"no row of {name!r} is set aside", hint=f"mainstem show {name}")
