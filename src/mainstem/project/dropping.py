"""Drop what the project no longer declares from what a branch publishes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mainstem.errors import RequestError, UnknownName
from mainstem.nodes.hidden import RESERVED
from mainstem.nodes.records import Release
from mainstem.planning.process import me

if TYPE_CHECKING:
    from mainstem.project.branch import Branch


def undeclared(branch: Branch) -> tuple[str, ...]:
    """Return the nodes that the branch publishes and the project no longer declares."""
    return tuple(sorted(name for name in _published(branch.release) if name not in branch.nodes))


def drop(branch: Branch, names: Sequence[str]) -> tuple[str, ...]:
    """Publish the branch's release without these nodes, or without all that are no longer declared. Return them.

    Raises `UnknownName` for one that is not published, `RequestError` for one that is declared, and `ConflictError`
    while a run is in progress on the branch.
    """
    with branch.adapters.state.hold(branch.branch, me()):
        release = branch.claim()
        for name in names:
            if name in branch.nodes:
                raise RequestError(
                    f"{name!r} is declared, so the next run would make it again",
                    where=str(branch.nodes[name].origin),
                    hint="delete its definition first",
                )
            if name not in _published(release):
                raise UnknownName.among("published node that is no longer declared", name, undeclared(branch))
        gone = set(names or undeclared(branch))
        if gone:
            branch.republish(_without(release, gone))
        return tuple(sorted(gone))


def relations_of(node: str) -> tuple[str, ...]:
    """Return the names that relations of a node may have, other than those of its monitors."""
    return (node, *(f"{prefix}{node}" for prefix in RESERVED))


def _published(release: Release) -> set[str]:
    """Return the nodes of a release: tables, and what has no table, such as views and endpoints."""
    nodes = {_node(name) for name in release.tables}
    return (
        nodes | release.fingerprints.keys() | release.models.keys() | release.endpoints.keys() | release.online.keys()
    )


def _node(relation: str) -> str:
    """Return the node that a relation belongs to, such as `legs` for `quarantine.legs`."""
    while prefix := next((prefix for prefix in RESERVED if relation.startswith(prefix)), ""):
        relation = relation.removeprefix(prefix)
        if prefix == "judged.":  # one relation for each monitor
            relation = relation.partition(".")[0]
    return relation


def _without(release: Release, gone: set[str]) -> Release:
    def kept(of: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in of.items() if _node(name) not in gone}

    return replace(
        release,
        tables=kept(release.tables),
        models=kept(release.models),
        endpoints=kept(release.endpoints),
        fingerprints=kept(release.fingerprints),
        cutovers=kept(release.cutovers),
        online=kept(release.online),
        inputs={step: read for step, read in release.inputs.items() if step.partition(" ")[2] not in gone},
    )
