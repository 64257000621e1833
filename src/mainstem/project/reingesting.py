"""Whether rows of a source can be taken in again."""

from __future__ import annotations

from mainstem.checks.audit import QUARANTINE
from mainstem.errors import NotFound, UnknownName
from mainstem.nodes.definition import Graph
from mainstem.nodes.records import Release
from mainstem.nodes.sources import Source, Stream


def refuse_reingest(graph: Graph, release: Release, name: str) -> None:
    """Raise `UnknownName` for a node that is not a collected source, and `NotFound` if none of its rows is set
    aside."""
    collected = [each for each, node in graph.of(Source).items() if not isinstance(node, Stream)]
    if name not in collected:
        raise UnknownName.among("source", name, collected)
    aside = release.tables.get(QUARANTINE + name)
    if aside is None or not aside.rows:
        raise NotFound(f"no row of {name!r} is set aside", hint=f"mainstem show {name}")
