"""Versions of models: list, compare on the same rows, and promote them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import ibis
import numpy as np

from mainstem.errors import ModelError, NotFound, close_matches
from mainstem.features.retrieval import meanings
from mainstem.models.artifact.scorer import Scorer
from mainstem.models.data.columns import rows_of
from mainstem.models.evaluation.comparison import days
from mainstem.models.metrics import difference, measure, metric
from mainstem.models.versions.report import interval, spoken
from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.hidden import SPLIT, TARGET, T
from mainstem.nodes.models import Task
from mainstem.nodes.records import Binding, Measure, ModelVersion, Release, new_id, now
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step
from mainstem.ports import R, Session

if TYPE_CHECKING:
    import pyarrow as pa

FEWEST_ROWS = 100


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


def promote(release: Release, endpoint: str, version: str) -> Release:
    """Return the next release, in which `version` is the champion of `endpoint`. The head does not move."""
    endpoints = {**release.endpoints, endpoint: Binding(version)}
    return replace(release, id=new_id("rel"), parent=release.id or None, created_at=now(), endpoints=endpoints)


@dataclass(frozen=True)
class Evidence:
    """Two versions on rows that neither was trained on. `gain` is positive if the challenger is better."""

    metric: str
    champion: Measure
    challenger: Measure
    gain: Measure

    @property
    def suffices(self) -> bool:
        """Whether the whole interval of the gain is above 0."""
        return self.gain.low > 0

    def __str__(self) -> str:
        return (
            f"{spoken(self.metric)} {self.champion.value:.3f} → {self.challenger.value:.3f}, "
            f"gain {interval(self.gain)} on {self.gain.rows:,} rows"
        )


def compare(opened: Session, root: Path, champion: ModelVersion, challenger: ModelVersion) -> Evidence:
    """Compare on the challenger's test rows that are later than all training rows of the champion.

    The session sees `dataset.MODEL` as of the challenger. Raises `ModelError` without such rows, or if they lack an
    input of the champion.
    """
    _comparable(champion, challenger)
    rows = opened.fetch(_unseen(opened, champion, challenger))
    if len(rows) < FEWEST_ROWS:
        raise ModelError(
            "too few rows that neither version was trained on",
            got=f"{len(rows)}",
            expected=f"at least {FEWEST_ROWS}",
            hint="decide yourself: mainstem promote",
        )
    y, times = _labels(rows, challenger), np.asarray(rows[T].cast("int64").to_numpy())
    theirs, ours = (Scorer.load(root / v.artifact).score_rows(rows_of(rows, v.inputs)) for v in (champion, challenger))
    judge, groups = metric(challenger.metric), days(times)
    return Evidence(
        judge.name,
        measure(judge, y, theirs, groups=groups),
        measure(judge, y, ours, groups=groups),
        difference(judge, y, ours, theirs, groups=groups),
    )


@dataclass(frozen=True)
class Promote:
    """The executor of `promote`: it promotes an endpoint's challenger if it is measurably better, or is the first
    version."""

    root: Path

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
        try:
            with context.session([f"dataset.{new.model}"]) as opened:
                evidence = compare(opened, self.root, old, new)
        except ModelError as problem:
            return StepResult(message=f"{old.id} stays: {problem.what}")
        if not evidence.suffices:
            return StepResult(message=f"{old.id} stays: {evidence}")
        return StepResult(endpoints={endpoint: Binding(new.id)}, message=f"{new.id} ships: {evidence}")


def _comparable(champion: ModelVersion, challenger: ModelVersion) -> None:
    if (champion.task, champion.classes) != (challenger.task, challenger.classes):
        raise ModelError(
            "the versions predict different targets",
            got=f"{challenger.task} {', '.join(challenger.classes)}",
            expected=f"{champion.task} {', '.join(champion.classes)}",
        )


def _unseen(opened: Session, champion: ModelVersion, challenger: ModelVersion) -> ibis.Table:
    name = f"dataset.{challenger.model}"
    schema = opened.schema(f'SELECT * FROM "{name}"')
    missing = [column.name for column in champion.inputs if column.name not in schema]
    if missing:
        raise ModelError("the challenger's dataset lacks columns of the champion", got=", ".join(missing), where=name)
    dataset = ibis.table(schema, name=name)
    rows = dataset.filter(dataset[SPLIT] == "test")
    if champion.trained_until is not None:
        rows = rows.filter(rows[T] > ibis.literal(champion.trained_until))
    return rows.select(*_needed(champion, challenger), T, TARGET)


def _needed(*versions: ModelVersion) -> Sequence[str]:
    return list(dict.fromkeys(column.name for version in versions for column in version.inputs))


def _labels(rows: pa.Table, version: ModelVersion) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the target as the class numbers of `version`."""
    import pyarrow as pa

    task: Task = version.task  # type: ignore[assignment]
    if task == "regression":
        return np.asarray(rows[TARGET].cast(pa.float64()).to_numpy(), float)
    number = {name: index for index, name in enumerate(version.classes)}
    return np.array([number[name] for name in rows[TARGET].cast(pa.string()).to_pylist()], float)
