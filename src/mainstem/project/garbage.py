"""What nothing refers to any more, deleted: from the lake and from the branch's online store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mainstem.nodes.features import FeatureView
from mainstem.nodes.records import Release

if TYPE_CHECKING:
    from mainstem.project.project import Project


class Garbage(NamedTuple):
    """How much was deleted: data files; of the online store, records that no read can see, and states of views that
    the project no longer has."""

    files: int
    records: int
    states: int


def collect_garbage(project: Project) -> Garbage:
    """Delete what nothing refers to, on the lake for all branches."""
    kept = project.adapters.state.find(Release)
    files = project.adapters.lake.sweep([snapshot for release in kept for snapshot in release.tables.values()])
    records, states = _online(project) if project.adapters.has_store else (0, 0)
    return Garbage(files, records, states)


def _online(project: Project) -> tuple[int, int]:
    from mainstem.features.online.expiry import expire
    from mainstem.features.online.loading import forget_views
    from mainstem.features.online.view import online_view
    from mainstem.features.plan import compiled

    store, graph, online = project.adapters.store, project.graph, project.release.online
    views = graph.of(FeatureView).keys()
    live = [online_view(compiled(graph, name), store, online) for name in sorted(views & online.keys())]
    return sum(map(expire, live)), forget_views(store, views)
