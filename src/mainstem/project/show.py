"""One node, as a person wants to see it: what it is, where it comes from, some of its data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mainstem.logs.records import events_of, predictions_of
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.features import FeatureView
from mainstem.nodes.hidden import visible
from mainstem.nodes.models import Model
from mainstem.nodes.records import ModelVersion
from mainstem.nodes.sources import Stream
from mainstem.ports import Sizes
from mainstem.project.status import kind_of

if TYPE_CHECKING:
    from mainstem.project.project import Project


def show(project: Project, name: str, limit: int = 10) -> dict[str, Any]:
    """What there is to say about a node, with up to `limit` of its rows. Raises `UnknownName`."""
    if name not in project.graph and name in project.release.tables:
        return _stored(project, name, limit)
    definition = project.graph[name]
    node = definition.node
    shown: dict[str, Any] = {
        "name": name,
        "kind": kind_of(definition),
        "where": str(node.origin),
        "description": node.description,
        "owner": node.owner,
        "reads": list(definition.inputs),
        "read_by": list(project.graph.dag.users(name)),
        "fingerprint": definition.made_by,
    }
    match node:
        case Model():
            shown |= _model(project, name)
        case Endpoint():
            shown |= _endpoint(project, name, node)
        case FeatureView():
            shown |= _view(project, name, node)
        case Stream():
            shown |= {**_relation(project, name, limit), "log_bytes": _sizes(project).logs.get(events_of(name))}
        case _:
            shown |= _relation(project, name, limit)
    return shown


def _stored(project: Project, name: str, limit: int) -> dict[str, Any]:
    snapshot = project.release.tables[name]
    return {
        "name": name,
        "kind": "stored relation",
        "rows": snapshot.rows,
        "schema": {f.name: f.type for f in snapshot.fields},
        "sample": _sample(project, name, limit),
    }


def _relation(project: Project, name: str, limit: int) -> dict[str, Any]:
    definition = project.graph[name]
    snapshot = project.release.tables.get(name)
    schema = visible(definition.schema or {})
    remedies = [remedy for remedy in project.remedies if remedy.rule.node == name]
    # What is read of a stream with a history is more than the events that have come.
    counted = "events" if isinstance(definition.node, Stream) else "rows"
    return {
        counted: snapshot.rows if snapshot else None,
        "schema": schema,
        "known": {column: str(known) for column, known in definition.known.items()},
        "lineage": {column: list(sources) for column, sources in definition.columns.items()},
        "checks": [f"{c.label} ({c.severity})" for c in getattr(definition.node, "checks", ())],
        "remedies": [f"{r.finding}: {r.rule.column} × {r.rule.factor:g} where {r.rule.where}" for r in remedies],
        "sample": _sample(project, name, limit) if snapshot else [],
    }


def _sample(project: Project, name: str, limit: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = project.table(name).head(limit).to_pylist()
    return rows


def _view(project: Project, name: str, node: FeatureView) -> dict[str, Any]:
    from mainstem.features.discovery import features, freshness
    from mainstem.features.online.view import space_of

    users, context = project.graph.dag.users(name), project.reading("show")
    store = project.adapters.store if project.adapters.has_store else None
    fingerprint = project.release.online.get(name)
    return {
        "key": list(node.key),
        "windows": list(node.windows),
        "ttl": node.ttl,
        "features": features(context, name),
        "freshness": freshness(context, name, store),
        "models": [user for user in users if isinstance(project.graph[user].node, Model)],
        "online": fingerprint,
        "online_bytes": _sizes(project).spaces.get(space_of(name, fingerprint)) if fingerprint else None,
    }


def _sizes(project: Project) -> Sizes:
    return project.adapters.store.sizes() if project.adapters.has_store else Sizes({}, {})


def _model(project: Project, name: str) -> dict[str, Any]:
    from mainstem.features.fallbacks import fallbacks
    from mainstem.models.report import card

    versions = project.adapters.state.find(ModelVersion, model=name)
    newest = versions[-1] if versions else None
    slow = fallbacks(project.graph, name)
    return {
        "computed_by_the_engine": [f"{f.feature}, because of {f.operation} ({f.where})" for f in slow],
        "versions": [
            {"id": v.id, "algorithm": v.algorithm, "metric": v.metric, "value": v.metrics[v.metric].value}
            for v in versions
        ],
        "card": card(newest, project.adapters.lake_root) if newest else "never trained",
    }


def _endpoint(project: Project, name: str, node: Endpoint) -> dict[str, Any]:
    from mainstem.features.dataset import plan_features

    release, model = project.release, project.graph.name_of(node.model)
    champion, newest = release.endpoints.get(name), release.models.get(model)
    request = plan_features(project.graph, model).request
    return {
        "model": model,
        "champion": champion,
        "challenger": newest if newest != champion else None,
        "latency": node.latency,
        "monitors": [type(monitor).__name__.lower() for monitor in node.monitors],
        "request": dict(request),
        "log_bytes": _sizes(project).logs.get(predictions_of(name)),
    }
