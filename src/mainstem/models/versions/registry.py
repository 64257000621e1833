"""Versions of models: list, compare on the same rows, and promote them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from mainstem.errors import ModelError, NotFound, close_matches
from mainstem.features.retrieval import meanings
from mainstem.models.versions.comparing import compare
from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.forecasts import HORIZON
from mainstem.nodes.records import Binding, ModelVersion, Release, new_id, now
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step
from mainstem.ports import Artifacts, R, Relation


class Records(Protocol):
    """Where versions are stored: the state, or a run's view of it."""

    def get(self, kind: type[R], id: str) -> R | None: ...
    def find(self, kind: type[R], **fields: str) -> list[R]: ...


def versions(state: Records, model: str) -> list[ModelVersion]:
    """Return all versions of a model, oldest first."""
    return sorted(state.find(ModelVersion, model=model), key=lambda version: version.number)


def get(state: Records, id: str) -> ModelVersion:
    """Return the version with an id. Raises `NotFound`."""
    found = state.get(ModelVersion, id)
    if found is None:
        known = [version.id for version in state.find(ModelVersion)]
        raise NotFound(f"unknown model version {id!r}", hint=close_matches(id, known))
    return found


def champion(state: Records, release: Release, endpoint: str) -> ModelVersion | None:
    """Return the champion of an endpoint, or None."""
    id = release.champion(endpoint)
    return get(state, id) if id else None


def challenger(state: Records, release: Release, model: str) -> ModelVersion | None:
    """Return the last version that was trained on this branch, or None."""
    id = release.models.get(model)
    return get(state, id) if id else None


def redefined(version: ModelVersion, graph: Graph) -> tuple[str, ...]:
    """Return the features, as `view.feature`, whose definition changed since the version was trained."""
    then = version.definitions
    return tuple(name for name, made in meanings(graph, version.model).items() if then.get(name, made) != made)


def breaking(old: ModelVersion, new: ModelVersion) -> tuple[str, ...]:
    """Return what a caller of the old version would have to change to call the new one, in words.

    A field that is not sent any more breaks nothing: it is ignored. So does an integer for a number. Another task,
    and classes or quantiles that are new or gone, change the answer. Of versions that do not tell their fields, only
    the answers are compared.
    """
    return (*_fields(old.request, new.request), *_answers(old, new))


def _fields(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> Iterator[str]:
    """Yield in what the fields of requests differ; nothing if one is not known."""
    for name, kind in (new or {}).items() if old is not None else ():
        before = (old or {}).get(name)
        if before is None:
            yield f"{name!r} ({kind}) is new"
        elif before != kind and not _takes(kind, before):
            yield f"{name!r} is {kind}, and was {before}"


def _answers(old: ModelVersion, new: ModelVersion) -> Iterator[str]:
    """Yield in what the answers of two versions differ."""
    if old.task != new.task:
        yield f"the answer is of task {new.task}, and was of {old.task}"
        return
    for what, names, others in (("new", new.classes, old.classes), ("gone", old.classes, new.classes)):
        if other := [name for name in names if name not in others]:
            yield f"{what} in the answer: {', '.join(map(repr, other))}"


_WIDTH = {"int8": 0, "int16": 1, "int32": 2, "int64": 3, "float32": 4, "float64": 5}
"""Numbers of a request, from the narrowest. A wider one takes the values of a narrower one."""


def _takes(kind: str, before: str) -> bool:
    return kind in _WIDTH and before in _WIDTH and _WIDTH[kind] > _WIDTH[before]


def promote(release: Release, endpoint: str, version: str) -> Release:
    """Return the next release, in which `version` is the champion of `endpoint`. The head does not move."""
    endpoints = {**release.endpoints, endpoint: Binding(version)}
    return replace(release, id=new_id("rel"), parent=release.id or None, created_at=now(), endpoints=endpoints)


@dataclass(frozen=True)
class Promote:
    """The executor of `promote`: it promotes an endpoint's challenger if it is measurably better, or is the first
    version."""

    root: Artifacts

    def __call__(self, step: Step, context: Context) -> StepResult:
        """Return the endpoint's new champion, or the reason why the champion stays."""
        node = context.graph[step.node].node
        if not isinstance(node, Endpoint):
            raise ModelError(f"{step.node!r} is not an endpoint", got=type(node).__name__)
        model = context.graph.name_of(node.model)
        new = challenger(context.records, context.release, model)
        old = champion(context.records, context.release, step.node)
        if new is None:
            return StepResult(message=f"{model} has no version yet")
        if old is None:
            return StepResult(endpoints={step.node: Binding(new.id)}, message=f"{new.id} is the first")
        if old.id == new.id:
            return StepResult(message=f"{old.id} is already the champion")
        return self._decide(step.node, old, new, context)

    def _decide(self, endpoint: str, old: ModelVersion, new: ModelVersion, context: Context) -> StepResult:
        if found := breaking(old, new):
            return StepResult(message=f"{old.id} stays: {new.id} would break callers: {'; '.join(found)}")
        try:
            with context.session([f"dataset.{new.model}"]) as opened:
                evidence = compare(
                    opened, self.root, old, new, _rows_of(old, context), key_of(context.graph, new.model)
                )
        except ModelError as problem:
            return StepResult(message=f"{old.id} stays: {problem.what}")
        if not evidence.suffices:
            return StepResult(message=f"{old.id} stays: {evidence}")
        return StepResult(endpoints={endpoint: Binding(new.id)}, message=f"{new.id} ships: {evidence}")


def _rows_of(version: ModelVersion, context: Context) -> Relation | None:
    """Return the dataset that a version was trained on, if a release still has it."""
    name = f"dataset.{version.model}"
    for release in reversed(context.records.find(Release)):
        snapshot = release.tables.get(name)
        if snapshot is not None and snapshot.id == version.snapshots.get(name):
            return context.scan(snapshot)
    return None


def key_of(graph: Graph, model: str) -> tuple[str, ...]:
    """Return the columns that tell the rows of a model's dataset apart; none if its examples have no key."""
    node: Any = graph[model].node
    key = tuple(getattr(graph[graph.name_of(node.examples)].node, "key", ()))
    return (*key, HORIZON) if key and node.horizons else key
