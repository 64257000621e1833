"""Branches as a whole: list, create, delete and promote them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mainstem.errors import ConflictError, NotFound, RequestError, UnknownName
from mainstem.nodes.definition import Graph
from mainstem.nodes.features import FeatureView
from mainstem.nodes.overrides import Override
from mainstem.nodes.records import Release, RunRecord, Sample, new_id, now
from mainstem.nodes.sources import Stream
from mainstem.planning.plan import Plan
from mainstem.planning.planner import plan
from mainstem.planning.process import me
from mainstem.planning.runner import Listener
from mainstem.project.branch import Branch
from mainstem.project.definitions import is_of
from mainstem.project.kinds import KINDS
from mainstem.project.releases import MAIN
from mainstem.project.running import runner
from mainstem.project.situation import situation

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]|/(?=[A-Za-z0-9]))*")
_OF_THE_STORE = ("materialise", "drain", "monitor", "attribute")
"""Steps that read or write the online store, which each branch has for itself."""
SHOWN = 5


@dataclass(frozen=True)
class BranchInfo:
    """A branch: its release, the tables, models and endpoints that differ from those of `main`, and what sample of the
    sources it works on, if not on all rows."""

    name: str
    release: str
    published_at: datetime
    tables: int
    differs: tuple[str, ...] = ()
    sample: Sample | None = None


def branches(branch: Branch) -> list[BranchInfo]:
    """Return the branches by name, `main` first."""
    state = branch.adapters.state
    heads = {name: state.get(Release, id) for name, id in state.branches().items()}
    found = {name: release for name, release in heads.items() if release is not None}
    main = found.get(MAIN, Release(id="", branch=MAIN, run=""))
    infos = [
        BranchInfo(name, each.id, each.created_at, len(each.tables), tuple(_differing(each, main)), each.sample)
        for name, each in found.items()
    ]
    return sorted(infos, key=lambda info: (info.name != MAIN, info.name))


def create(branch: Branch, name: str, source: str = MAIN) -> Release:
    """Create a branch that publishes what another branch, or an earlier release, publishes. Nothing is copied but the
    online state and the logs.

    Return its release. Events, logged predictions and the online state are always those of now: the log has no earlier
    ones.

    Raises `RequestError` for an invalid name, `ConflictError` if the branch exists, and `NotFound` for an unknown
    source.
    """
    if not _NAME.fullmatch(name) or "__" in name:
        expected = "letters, digits and ._-/ , without __; it begins with a letter or a digit"
        raise RequestError(f"the name {name!r} of a branch is invalid", expected=expected)
    state = branch.adapters.state
    origin = named(branch, source)
    if state.head(name) is not None:
        raise ConflictError(f"branch {name!r} exists", hint=f"mainstem branch delete {name}")
    forked = source if source in state.branches() else origin.branch
    with branch.on(name) as made:
        made.adapters.fork(forked)
    head = state.get(Release, state.head(forked) or "")
    if head is None or head.id == origin.id:
        state.move(name, origin.id, expect=None)
        return origin
    content = replace(_merged(origin, head, branch.sound), sample=origin.sample)
    release = replace(content, id=new_id("rel"), branch=name, run=origin.run, parent=origin.id, created_at=now())
    state.publish(name, release, expect=None)
    return release


def delete(branch: Branch, name: str) -> Release:
    """Delete a branch with its online state and logs, and return its last release. `gc` frees its data later.

    Raises `RequestError` for `main`, `NotFound` for an unknown branch, and `ConflictError` while a run is in progress.
    """
    if name == MAIN:
        raise RequestError(f"branch {MAIN!r} cannot be deleted")
    release = _head(branch, name)
    state = branch.adapters.state
    with state.hold(name, me()), branch.on(name) as gone:
        gone.adapters.drop_online()  # first: a new branch of this name must not find it
        for each in state.find(Override, branch=name):
            if each.ended_at is None:
                state.save(replace(each, ended_at=now()))
        state.drop(name, expect=release.id)
    return release


def promote(branch: Branch, name: str, to: str = MAIN, report: Listener | None = None) -> RunRecord:
    """Publish on branch `to` what branch `name` publishes, all of it or nothing: tables, models and endpoints.

    Snapshots are taken as they are. Views whose state differs are brought online in the store of `to` first. Streams
    and logged predictions stay those of `to`, whose logs they come from.

    Raises `ConflictError` if `to` publishes something that `name` never had, and `NotFound` for an unknown branch.
    """
    if name == to:
        raise RequestError(f"branch {name!r} cannot be promoted to itself")
    _head(branch, name)
    state = branch.adapters.state
    with state.hold(name, me()), state.hold(to, me()), branch.on(name) as source, branch.on(to) as target:
        head = target.claim() if state.branches().get(to) or to == MAIN else _head(branch, to)
        given = source.release
        if given.sample is not None:
            raise ConflictError(
                f"branch {name!r} works on a sample, and cannot be promoted",
                got=str(given.sample),
                hint=f"mainstem run --branch {name} --sample 1 builds it from all rows",
            )
        _refuse_loss(source, head, to)
        content = _merged(given, head, target.graph)
        work = _views(target, replace(content, id=head.id, branch=to))
        if work and not is_of(target.graph, given):
            raise ConflictError(
                f"the project's definitions differ from those that branch {name!r} was published with",
                where=", ".join(step.node for step in work.steps),
                hint=f"mainstem run --branch {name}",
            )
        if not work and not list(_differing(content, head)) and content.fingerprints == head.fingerprints:
            return RunRecord(new_id("run"), to, "unchanged", ended_at=now(), release=head.id)
        context = target.context(new_id("run"), replace(content, id=head.id, branch=to))
        executors = target.adapters.executors(target.with_rules)
        return runner(target.settings, executors).run(work, context, report or (lambda _: None))


def named(branch: Branch, name: str) -> Release:
    """Return the release of a branch, or the release with that id. Raises `NotFound`."""
    state = branch.adapters.state
    found = state.get(Release, state.head(name) or name)
    if found is None:
        raise _unknown(branch, name)
    return found


def _head(branch: Branch, name: str) -> Release:
    state = branch.adapters.state
    release = state.get(Release, state.head(name) or "")
    if release is None:
        raise _unknown(branch, name)
    return release


def _unknown(branch: Branch, name: str) -> NotFound:
    known = branch.adapters.state.branches()
    found = UnknownName.among("branch", name, known)
    return NotFound(found.what, expected=found.expected, hint=found.hint or "mainstem branch list")


# ── what a promotion publishes ────────────────────────────────────────────────────────────────────────


def _items(release: Release) -> Iterator[tuple[str, Any]]:
    """Yield what a release publishes, each with a value that is equal for equal contents."""
    yield from ((name, (snapshot.physical, snapshot.id)) for name, snapshot in release.tables.items())
    yield from ((f"model {name}", version) for name, version in release.models.items())
    yield from ((f"endpoint {name}", binding) for name, binding in release.endpoints.items())


def _differing(one: Release, other: Release) -> Iterator[str]:
    ours, theirs = dict(_items(one)), dict(_items(other))
    return (name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))


def _refuse_loss(source: Branch, head: Release, to: str) -> None:
    """Raise `ConflictError` if the target publishes anything that the source neither has nor had."""
    own = _logged(source.graph)
    open = {name: value for name, value in _items(head) if name not in own}
    for release in source.releases():
        had = dict(_items(release))
        open = {name: value for name, value in open.items() if had.get(name) != value}
        if not open:
            return
    if open:
        more = f", and {len(open) - SHOWN} more" if len(open) > SHOWN else ""
        raise ConflictError(
            f"branch {to!r} publishes what branch {source.branch!r} never had, and promoting would lose it",
            got=", ".join(sorted(open)[:SHOWN]) + more,
            hint=f"start again from {to}: mainstem branch delete {source.branch}, "
            f"mainstem branch create {source.branch} --from {to}, mainstem run --branch {source.branch}",
        )


def _logged(graph: Graph) -> frozenset[str]:
    """Return the stored relations that come from the logs of a branch's own online store."""
    logs = [KINDS.of(definition.node).log(definition.name) for definition in graph]
    tables = [each.table for log in logs if log is not None for each in (log, *log.beside)]
    return frozenset([*tables, *(f"quarantine.{table}" for table in tables)])


def _merged(given: Release, head: Release, graph: Graph) -> Release:
    """Return the given content, with what belongs to the target's online store as it is there."""
    logged = _logged(graph)
    here = {*graph.of(Stream), *graph.of(FeatureView)}
    steps = {key for key in {**given.inputs, **head.inputs} if key.split(" ")[0] in _OF_THE_STORE}
    return replace(
        head,
        tables=_with(given.tables, head.tables, logged),
        models=given.models,
        endpoints=given.endpoints,
        fingerprints=_with(given.fingerprints, head.fingerprints, here),
        inputs=_with(given.inputs, head.inputs, steps),
        rolled_back=None,
    )


def _with(given: Mapping[str, Any], kept: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return `given` with these names as in `kept`, where they may be missing."""
    mine = frozenset(names)
    return {n: v for n, v in given.items() if n not in mine} | {n: v for n, v in kept.items() if n in mine}


def _views(target: Branch, content: Release) -> Plan:
    """Return the steps that bring views online in the target's store as the content needs them."""
    seen = situation(target.graph, content, target.settings.root, target.adapters, look=False)
    due = plan(target.graph, seen, KINDS).steps
    return Plan(content.branch, tuple(step for step in due if step.kind == "materialise"))
