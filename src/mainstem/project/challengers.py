"""What an endpoint does with its challenger, as sentences for `mainstem status`."""

from __future__ import annotations

from collections.abc import Iterator

from mainstem.errors import ModelError
from mainstem.models.artifact.scorer import verified
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.records import ModelVersion
from mainstem.project.branch import Branch


def told(branch: Branch, name: str, node: Endpoint) -> Iterator[str]:
    """Yield a sentence for a declared shadow. A challenger whose artifact is damaged is said to be."""
    if not node.shadow:
        return
    id = branch.release.challenger(name, branch.sound.name_of(node.model))
    if id is None:
        why = "no champion" if branch.release.champion(name) is None else "no challenger"
        yield f"shadow: {why} yet"
        return
    trouble = _trouble(branch, id)
    yield f"shadow: {id} cannot score: {trouble}" if trouble else f"shadow: {id} scores every request"


def _trouble(branch: Branch, id: str) -> str | None:
    version = branch.adapters.state.get(ModelVersion, id)
    if version is None:
        return "the version no longer exists"
    try:
        verified(branch.adapters.lake_root / version.artifact)
    except ModelError as error:
        return error.what
    return None
