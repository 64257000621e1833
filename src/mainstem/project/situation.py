"""What a plan depends on beside the definitions: what sources look like, what logs hold, what waits to be verified."""

from __future__ import annotations

from pathlib import Path

from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.findings import Finding
from mainstem.nodes.records import Release
from mainstem.nodes.sources import Source, Stream
from mainstem.planning.planner import Situation
from mainstem.project.wiring import Adapters


def situation(graph: Graph, release: Release, root: Path, adapters: Adapters) -> Situation:
    """As it is now, on the branch of `adapters`; `root` is the project's directory."""
    observed = {name: _observed(name, node, release, root) for name, node in graph.of(Source).items()}
    accepted = adapters.state.find(Finding, state="accepted", branch=adapters.branch)
    awaiting = frozenset(finding.endpoint for finding in accepted)
    return Situation(release, observed, _pending(graph, release, adapters), awaiting)


def _observed(name: str, node: Source, release: Release, root: Path) -> str | None:
    from mainstem.sources.observe import observe

    if isinstance(node, Stream) or name not in release.tables:
        return None
    return observe(node, root, release.tables[name].cursor)


def _pending(graph: Graph, release: Release, adapters: Adapters) -> dict[str, int]:
    if not adapters.has_store:
        return {}
    logs = {name: (f"events/{name}", name) for name in graph.of(Stream)}
    logs |= {name: (f"predictions/{name}", f"predictions.{name}") for name in graph.of(Endpoint)}
    pending = {}
    for name, (log, table) in logs.items():
        snapshot = release.tables.get(table)
        drained = int(snapshot.cursor or 0) if snapshot else 0
        pending[name] = adapters.store.end(log) - drained
    return pending
