"""Delete records of the online store that no read can see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mainstem.features.online.expiry import expire
from mainstem.features.online.view import online_view
from mainstem.features.retrieval import compiled
from mainstem.nodes.definition import Graph
from mainstem.nodes.features import FeatureView
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
