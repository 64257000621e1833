"""Delete records of the online store that no read can see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mainstem.features.online.expiry import expire
from mainstem.features.online.view import online_view
from mainstem.features.retrieval import compiled
from mainstem.logs.standing import forget
from mainstem.nodes.definition import Graph
from mainstem.nodes.features import FeatureView
from mainstem.nodes.instants import micros_of
from mainstem.nodes.records import now
from mainstem.nodes.sources import Stream
from mainstem.ports import OnlineStore


def sweep(graph: Graph, store: OnlineStore, online: Mapping[str, str], views: Iterable[str]) -> int:
    """Delete expired records of views' states, given their fingerprints in `online`. Return the number of records.

    Records of a view are kept while another view that uses it is not online yet: its load will read the past.
    """
    deleted = 0
    for name in views:
        users = [user for user in graph.dag.users(name) if isinstance(graph[user].node, FeatureView)]
        if online.keys() >= {name, *users}:
            states = (online_view(compiled(graph, user), store, online) for user in users)
            deleted += expire(online_view(compiled(graph, name), store, online), states)
    return deleted


def sweep_standing(graph: Graph, store: OnlineStore, stream: str) -> int:
    """Delete last rows of a stream of changes that no state has any more. Return their number.

    A latest view without a `ttl` has its rows for ever.
    """
    node = graph[stream].node
    if not isinstance(node, Stream) or not node.changes:
        return 0
    users = [user for user in graph.dag.users(stream) if isinstance(graph[user].node, FeatureView)]
    views = [view for view in (compiled(graph, user) for user in users) if view.source == stream]
    if any(not view.windowed and view.ttl is None for view in views):
        return 0
    kept = max((view.grace + (view.reach or view.ttl or 0) for view in views), default=0)
    return forget(store, stream, str(node.time), micros_of(now()) - 2 * kept, kept)
