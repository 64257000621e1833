"""The report of a model's version: its card, what its evaluation kept, its declaration, and its data."""

from __future__ import annotations

from collections.abc import Mapping

from mainstem.errors import NotFound, UnknownName
from mainstem.models.artifact import evaluation
from mainstem.models.artifact.manifest import read
from mainstem.models.report.limits import limits
from mainstem.models.report.record import Read
from mainstem.models.report.report import Report
from mainstem.models.versions.report import card
from mainstem.nodes.base import Deferred
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.features import AllColumns, FeatureUse, FeatureView, OnDemand, ViewUse, use
from mainstem.nodes.models import Model
from mainstem.nodes.records import ModelVersion, Release
from mainstem.project.branch import Branch


def report(branch: Branch, name: str) -> Report:
    """Return the report of a version, or of the newest version of a model. Raises `UnknownName`, `NotFound`."""
    version = version_of(branch, name)
    root = branch.adapters.artifacts
    shown = card(version, root)
    directory = root / version.artifact
    found = evaluation.read(directory, read(directory))
    return Report(
        version, shown, found, _declared(branch, version), _data(branch, version), tuple(limits(shown, found))
    )


def version_of(branch: Branch, name: str) -> ModelVersion:
    """Return the version of a name: of an id, of a model (the newest), or of an endpoint (its champion).

    Raises `UnknownName` for another name, `NotFound` for a model or an endpoint without a version.
    """
    state = branch.adapters.state
    node = branch.sound[name].node if name in branch.sound else None
    if isinstance(node, Endpoint):
        id = branch.release.champion(name)
        hint = f"mainstem promote {branch.sound.name_of(node.model)}"
    elif isinstance(node, Model):
        newest = state.find(ModelVersion, model=name)
        id, hint = branch.release.models.get(name) or (newest[-1].id if newest else None), "mainstem run"
    else:
        id, hint = name, ""
    version = state.get(ModelVersion, id) if id else None
    if version is not None:
        return version
    if hint:
        raise NotFound(f"{name!r} has no version yet", hint=hint)
    models = [*branch.sound.of(Model), *branch.sound.of(Endpoint), *(v.id for v in state.find(ModelVersion))]
    raise UnknownName.among("model or version", name, models)


def _declared(branch: Branch, version: ModelVersion) -> Mapping[str, str]:
    """Return the declaration as it is now, in words; nothing of a model that is no longer declared."""
    if version.model not in branch.sound:
        return {}
    definition = branch.sound[version.model]
    node = definition.node
    if not isinstance(node, Model):
        return {}
    found = {
        "description": node.description or "",
        "target": _written(node.target),
        "examples": branch.sound.name_of(node.examples),
        "prediction time": _written(node.prediction_time) if node.prediction_time is not None else "",
        "features": ", ".join(_feature(branch, each) for each in node.features),
        "groups": _written(node.groups) if node.groups is not None else "",
        "series": ", ".join(node.series),
        "horizons": ", ".join(node.horizons),
        "also measured": ", ".join(node.measured_also),
        "query": _written(node.query) if node.query is not None else "",
        "declared in": str(node.origin),
    }
    if definition.fingerprint != version.fingerprint:
        found["changed"] = "the declaration differs from the one that this version was trained with"
    return {name: words for name, words in found.items() if words}


def _feature(branch: Branch, feature: FeatureUse) -> str:
    match feature:
        case AllColumns():
            return "all columns"
        case OnDemand():
            return ", ".join(feature.features)
        case FeatureView() | ViewUse():
            return branch.sound.name_of(use(feature).view)
    return str(feature)


def _written(value: Deferred) -> str:
    return value if isinstance(value, str) else repr(value)


def _data(branch: Branch, version: ModelVersion) -> tuple[Read, ...]:
    """Return the relations that the version was trained on, with the rows of snapshots that a release has."""
    rows = {
        (name, snapshot.id): snapshot.rows
        for release in branch.adapters.state.find(Release)
        for name, snapshot in release.tables.items()
    }
    return tuple(Read(name, id, rows.get((name, id))) for name, id in version.snapshots.items())
