"""The inputs of a plan other than the definitions: how sources look, what logs hold, which findings wait."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mainstem.errors import MainstemError
from mainstem.features.online.presence import gone
from mainstem.monitoring.verdicts import Cohort
from mainstem.nodes.definition import Graph
from mainstem.nodes.deliveries import Delivery
from mainstem.nodes.features import FeatureView
from mainstem.nodes.findings import Finding
from mainstem.nodes.records import Release, now
from mainstem.nodes.sources import Source, Stream
from mainstem.planning.outlook import OBSERVED, Situation
from mainstem.ports import Store
from mainstem.project.integrity import damaged
from mainstem.project.kinds import KINDS, Log
from mainstem.project.releases import MAIN
from mainstem.project.wiring import Adapters
from mainstem.project.written import kept_in


def situation(graph: Graph, release: Release, root: Path, adapters: Adapters, *, look: bool = True) -> Situation:
    """Return the present situation of the branch of `adapters`. `root` is the project's directory.

    With `look=False` no source is contacted: each counts as it was when it was collected.
    """
    sources = graph.of(Source).items()
    observed = {name: _observed(name, node, release, root) if look else _seen(name, release) for name, node in sources}
    accepted = adapters.state.find(Finding, state="accepted", branch=adapters.branch)
    awaiting = frozenset(finding.endpoint for finding in accepted)
    store = adapters.store if uses_store(graph, release) and adapters.has_store else None
    bad = damaged(adapters, release)
    maturing = _maturing(release, adapters)
    sent = {each.sink: each for each in adapters.state.find(Delivery)} if adapters.branch == MAIN else None
    seen = Situation(
        release,
        observed,
        awaiting=awaiting,
        maturing=maturing,
        damaged=bad,
        written=kept_in(adapters.state),
        delivered=sent,
    )
    if adapters.state.head(adapters.branch) is None:  # the branch gets its own store at its fork
        return replace(seen, pending=_pending(graph, release, store) if store else {})
    return replace(seen, pending=_pending(graph, release, store), gone=_gone(graph, release, store))


def uses_store(graph: Graph, release: Release) -> bool:
    """Return whether anything is declared or published that keeps state or a log in the online store."""
    return bool(_logs(graph) or release.online or graph.of(FeatureView))


def _maturing(release: Release, adapters: Adapters) -> frozenset[str]:
    """Return the live endpoints with a day of predictions whose outcomes are all due since it was last looked at."""
    young, present = adapters.state.find(Cohort, branch=adapters.branch, complete="false"), now()
    due = (each for each in young if each.matures_at is not None and each.matures_at <= present)
    return frozenset(each.endpoint for each in due if each.model_version == release.champion(each.endpoint))


def _observed(name: str, node: Source, release: Release, root: Path) -> str | None:
    from mainstem.sources.inspection import observe

    source = node.from_ if isinstance(node, Stream) else node
    if source is None or name not in release.tables:
        return None
    try:
        return observe(source, root, release.tables[name].cursor)
    except MainstemError as problem:  # such as a kind of source that is no longer installed
        raise problem.within(f"{name} ({node.origin})") from None


def _seen(name: str, release: Release) -> str | None:
    return release.tables[name].properties.get(OBSERVED) if name in release.tables else None


def _pending(graph: Graph, release: Release, store: Store | None) -> dict[str, int]:
    pending = {}
    for name, log in _logs(graph).items():
        pending[name] = _waiting(log, release, store)
        if pending[name] >= 0:
            pending[name] += sum(max(0, _waiting(each, release, store)) for each in log.beside)
    return pending


def _waiting(log: Log, release: Release, store: Store | None) -> int:
    """Return how many entries of a log are not in the lake; a negative number if the log was lost."""
    snapshot = release.tables.get(log.table)
    drained = int(snapshot.cursor or 0) if snapshot else 0
    return (store.end(log.name) if store else 0) - drained


def _gone(graph: Graph, release: Release, store: Store | None) -> frozenset[str]:
    """Return the views that are online as declared, but whose state is missing in the store."""
    online = {name: id for name, id in release.online.items() if name in graph}
    logs = _logs(graph)
    sources = {name: graph[name].inputs[0] for name in online}
    return gone(online, {name: logs[source].name for name, source in sources.items() if source in logs}, store)


def _logs(graph: Graph) -> dict[str, Log]:
    found = {definition.name: KINDS.of(definition.node).log(definition.name) for definition in graph}
    return {name: log for name, log in found.items() if log is not None}
