"""What an endpoint does with its challenger, in sentences for `mainstem status`."""

from __future__ import annotations

from collections.abc import Iterator

from mainstem.errors import ModelError
from mainstem.models.artifact.scorer import verified
from mainstem.nodes.challengers import Canary, CanaryEnd, end_id
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.records import ModelVersion
from mainstem.project.branch import Branch


def told(branch: Branch, name: str, node: Endpoint) -> Iterator[str]:
    """Yield a sentence for each declared shadow, and one for a canary. A challenger whose artifact is damaged is said
    to be."""
    for each in node.shadow:
        id, trouble = _challenger(branch, name, branch.sound.name_of(each.model))
        yield f"shadow: {trouble}" if trouble else f"shadow: {id} scores every request"
    if node.canary is not None:
        id, trouble = _challenger(branch, name, branch.sound.name_of(node.model))
        yield f"canary: {trouble}" if trouble else _canary(branch, name, node.canary, id)


def _challenger(branch: Branch, name: str, model: str) -> tuple[str, str | None]:
    """Return the id of a challenger, or why there is none that can score."""
    id = branch.release.challenger(name, model)
    if id is None:
        return "", "no champion yet" if branch.release.champion(name) is None else "no challenger yet"
    trouble = _trouble(branch, id)
    return id, f"{id} cannot score: {trouble}" if trouble else None


def _canary(branch: Branch, name: str, canary: Canary, id: str) -> str:
    end = branch.adapters.state.get(CanaryEnd, end_id(branch.branch, name, id))
    if end is not None:
        return f"canary: {id} ended at {end.ended_at:%Y-%m-%d %H:%M:%S} UTC: {end.reason}"
    by = f", by {canary.by}" if canary.by else ""
    return f"canary: {id} answers {canary.share:.3%}".rstrip("0%").rstrip(".") + f" % of requests{by}"


def _trouble(branch: Branch, id: str) -> str | None:
    version = branch.adapters.state.get(ModelVersion, id)
    if version is None:
        return "the version no longer exists"
    try:
        verified(branch.adapters.artifacts / version.artifact)
    except ModelError as error:
        return error.what
    return None
