"""Delete from the online store what no read can see any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mainstem.features.online.expiry import expire
from mainstem.features.online.view import online_view
from mainstem.features.retrieval import compiled
from mainstem.nodes.definition import Graph
from mainstem.nodes.features import FeatureView
from mainstem.ports import OnlineStore


def sweep(graph: Graph, store: OnlineStore, online: Mapping[str, str], views: Iterable[str]) -> int:
    """Delete what has expired of views' states, of which `online` has the fingerprints; the number of records.

    Nothing of a view that another one uses which is not online yet: that one has still to ask about the past.
    """
    deleted = 0
    for name in views:
        users = [user for user in graph.dag.users(name) if isinstance(graph[user].node, FeatureView)]
        if online.keys() >= {name, *users}:
            states = (online_view(compiled(graph, user), store, online) for user in users)
            deleted += expire(online_view(compiled(graph, name), store, online), states)
    return deleted
