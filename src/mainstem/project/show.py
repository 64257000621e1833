"""The details of one node: its definition, its lineage, and some of its data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mainstem.logs.records import events_of, predictions_of
from mainstem.nodes.definition import Definition
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.features import FeatureView
from mainstem.nodes.hidden import visible
from mainstem.nodes.models import Model
from mainstem.nodes.records import ModelVersion
from mainstem.nodes.sources import Stream
from mainstem.nodes.statistics import Statistics, statistics_id
from mainstem.nodes.status import (
    Details,
    EndpointDetails,
    ModelDetails,
    RelationDetails,
    StoredDetails,
    StreamDetails,
    ViewDetails,
)
from mainstem.ports import Sizes
from mainstem.project import challengers
from mainstem.project.branch import Branch
from mainstem.project.cohorts import cohorts, told
from mainstem.project.kinds import KINDS
from mainstem.project.knowledge import tells_known


def show(branch: Branch, name: str, limit: int = 10) -> Details:
    """Return the details of a node, with up to `limit` of its rows; of a model version, by its id, its model's with its
    card. Raises `UnknownName`."""
    if name not in branch.sound and name in branch.release.tables:
        return _stored(branch, name, limit)
    version = branch.adapters.state.get(ModelVersion, name) if name not in branch.sound else None
    if version is not None:
        if version.model in branch.sound.of(Model):
            return _model(branch, branch.sound[version.model], version)
        return _undeclared(branch, version)
    definition = branch.sound[name]
    node = definition.node
    match node:
        case Model():
            return _model(branch, definition)
        case Endpoint():
            return _endpoint(branch, definition, node)
        case FeatureView():
            return _view(branch, definition, node)
        case Stream():
            return _stream(branch, definition, limit)
    return _relation(branch, definition, limit)


def _head(branch: Branch, definition: Definition) -> dict[str, Any]:
    node = definition.node
    return {
        "name": definition.name,
        "kind": KINDS.of(node).word(node),
        "where": str(node.origin),
        "description": node.description,
        "owner": node.owner,
        "reads": definition.inputs,
        "read_by": branch.sound.dag.users(definition.name),
        "fingerprint": definition.made_by,
    }


def _stored(branch: Branch, name: str, limit: int) -> StoredDetails:
    snapshot = branch.release.tables[name]
    return StoredDetails(
        name=name,
        kind="stored relation",
        rows=snapshot.rows,
        schema={f.name: f.type for f in snapshot.fields},
        sample=_sample(branch, name, limit),
    )


def _relation(branch: Branch, definition: Definition, limit: int) -> RelationDetails:
    snapshot = branch.release.tables.get(definition.name)
    columns = _columns(branch, definition, limit)
    columns["cleaning"] = [verb.describe() for verb in getattr(definition.node, "clean", ())]
    columns["statistics"] = _statistics(branch, definition)
    counted = branch.adapters.state.get(Statistics, statistics_id(snapshot)) if snapshot else None
    columns["joins"] = {label: f"{share:.1%} match" for label, share in (counted.joins if counted else {}).items()}
    return RelationDetails(**_head(branch, definition), rows=snapshot.rows if snapshot else None, **columns)


def _statistics(branch: Branch, definition: Definition) -> list[dict[str, Any]]:
    """Return the fitted statistics of a table that its present verbs use, as rows."""
    from mainstem.tables.fitting import STATISTICS

    used = {fit.definition for fit in definition.fits}
    if not used or STATISTICS + definition.name not in branch.release.tables:
        return []
    rows = branch.table(STATISTICS + definition.name).to_pyarrow().to_pylist()
    return [
        {
            "verb": row["verb"],
            "group": row["group"],
            "statistic": row["statistic"],
            "value": row["value"] if row["text"] is None else row["text"],
            "rows": row["rows"],
        }
        for row in rows
        if row["definition"] in used
    ]


def _stream(branch: Branch, definition: Definition, limit: int) -> StreamDetails:
    snapshot = branch.release.tables.get(definition.name)
    return StreamDetails(
        **_head(branch, definition),
        events=snapshot.rows if snapshot else None,
        **_columns(branch, definition, limit),
        log_bytes=_sizes(branch).logs.get(events_of(definition.name)),
    )


def _columns(branch: Branch, definition: Definition, limit: int) -> dict[str, Any]:
    name = definition.name
    remedies = [remedy for remedy in branch.remedies if remedy.rule.node == name]
    return {
        "schema": visible(definition.schema or {}),
        "known": {c: str(known) for c, known in definition.known.items()} if tells_known(branch.sound) else None,
        "lineage": definition.columns,
        "checks": [f"{c.label} ({c.severity})" for c in getattr(definition.node, "checks", ())],
        "remedies": [f"{r.finding}: {r.rule.verb.describe()} where {r.rule.where}" for r in remedies],
        "sample": _sample(branch, name, limit) if name in branch.release.tables else [],
    }


def _sample(branch: Branch, name: str, limit: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = branch.table(name).head(limit).to_pylist()
    return rows


def _view(branch: Branch, definition: Definition, node: FeatureView) -> ViewDetails:
    from mainstem.features.discovery import features, freshness
    from mainstem.features.online.view import space_of

    name, context = definition.name, branch.reading("show")
    users = branch.sound.dag.users(name)
    store = branch.adapters.store if branch.adapters.has_store else None
    fingerprint = branch.release.online.get(name)
    return ViewDetails(
        **_head(branch, definition),
        key=node.key,
        windows=node.windows,
        ttl=node.ttl,
        features=features(context, name),
        freshness=freshness(context, name, store),
        models=[user for user in users if isinstance(branch.sound[user].node, Model)],
        online=fingerprint,
        online_bytes=_sizes(branch).spaces.get(space_of(name, fingerprint)) if fingerprint else None,
    )


def _sizes(branch: Branch) -> Sizes:
    return branch.adapters.store.sizes() if branch.adapters.has_store else Sizes({}, {})


def _model(branch: Branch, definition: Definition, version: ModelVersion | None = None) -> ModelDetails:
    """Return the details of a model, with the report of a version; of the branch's newest one unless it is given."""
    from mainstem.features.fallbacks import fallbacks
    from mainstem.project.report import report

    versions = branch.adapters.state.find(ModelVersion, model=definition.name)
    own = branch.release.models.get(definition.name)
    newest = version or next((each for each in versions if each.id == own), versions[-1] if versions else None)
    slow = fallbacks(branch.sound, definition.name)
    return ModelDetails(
        **_head(branch, definition),
        computed_by_the_engine=[f"{f.feature}, because of {f.operation} ({f.where})" for f in slow],
        versions=_versions(versions),
        card=report(branch, newest.id).to_dict() if newest else "never trained",
    )


def _undeclared(branch: Branch, version: ModelVersion) -> ModelDetails:
    """Return the details of a version whose model is no longer declared."""
    from mainstem.project.report import report

    return ModelDetails(
        name=version.model,
        kind="model",
        where="no longer declared",
        fingerprint=version.fingerprint,
        computed_by_the_engine=(),
        versions=_versions(branch.adapters.state.find(ModelVersion, model=version.model)),
        card=report(branch, version.id).to_dict(),
    )


def _versions(versions: Sequence[ModelVersion]) -> list[dict[str, Any]]:
    return [
        {"id": v.id, "algorithm": v.algorithm, "metric": v.metric, "value": v.metrics[v.metric].value}
        | ({"not reproducible": f"rows erased on {v.erased_at:%Y-%m-%d}"} if v.erased_at else {})
        for v in versions
    ]


def _endpoint(branch: Branch, definition: Definition, node: Endpoint) -> EndpointDetails:
    from mainstem.features.requests import sent
    from mainstem.serving.decisions.choices import choices_of

    name, release, model = definition.name, branch.release, branch.sound.name_of(node.model)
    champion, newest = release.champion(name), release.models.get(model)
    fields, choices = sent(branch.sound, model, {}).fields, choices_of(branch.sound, name)
    offered, lists = (frozenset(), {}) if choices is None else (choices.plan.fields, choices.sent)
    return EndpointDetails(
        **_head(branch, definition),
        model=model,
        champion=champion,
        challenger=newest if newest != champion else None,
        beside=list(challengers.told(branch, name, node)),
        latency=node.latency,
        otherwise=node.otherwise,
        monitors=[type(monitor).__name__.lower() for monitor in node.monitors],
        request={name: kind for name, kind in fields.items() if name not in offered} | lists,
        log_bytes=_sizes(branch).logs.get(predictions_of(name)),
        cohorts=told(cohorts(branch, name, last=None)),
    )
