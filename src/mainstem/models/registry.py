"""Versions of models: listed, compared on the same rows, and shipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import ibis
import numpy as np

from mainstem.errors import ModelError, NotFound, close_matches
from mainstem.features.retrieval import meanings
from mainstem.models.columns import rows_of
from mainstem.models.evaluation import days
from mainstem.models.metrics import difference, measure, metric
from mainstem.models.report import interval, spoken
from mainstem.models.scorer import Scorer
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
    """Where versions are kept: the state, or a run's view of it."""

    def get(self, kind: type[R], id: str) -> R | None: ...
    def find(self, kind: type[R], **fields: str) -> list[R]: ...


def versions(state: Records, model: str) -> list[ModelVersion]:
    """All versions of a model, oldest first."""
    return sorted(state.find(ModelVersion, model=model), key=lambda version: version.number)


def get(state: Records, id: str) -> ModelVersion:
    """The version of an id. Raises `NotFound`."""
    found = state.get(ModelVersion, id)
    if found is None:
        known = [version.id for version in state.find(ModelVersion)]
        raise NotFound(f"unknown model version {id!r}", hint=close_matches(id, known))
    return found


def champion(state: Records, release: Release, endpoint: str) -> ModelVersion | None:
    """What an endpoint ships, if anything."""
    id = release.champion(endpoint)
    return get(state, id) if id else None


def challenger(state: Records, release: Release, model: str) -> ModelVersion | None:
    """The version that training made last on this branch, if any."""
    id = release.models.get(model)
    return get(state, id) if id else None


def redefined(version: ModelVersion, graph: Graph) -> tuple[str, ...]:
    """The features, as `view.feature`, that mean something else by now than when the version was trained."""
    then = version.definitions
    return tuple(name for name, made in meanings(graph, version.model).items() if then.get(name, made) != made)


def promote(release: Release, endpoint: str, version: str) -> Release:
    """The next release, in which `endpoint` ships `version`. Pure: nothing has moved yet."""
    endpoints = {**release.endpoints, endpoint: Binding(version)}
    return replace(release, id=new_id("rel"), parent=release.id or None, created_at=now(), endpoints=endpoints)


@dataclass(frozen=True)
class Evidence:
    """Two versions on rows that neither was trained on. `gain` is positive where the challenger is better."""

    metric: str
    champion: Measure
    challenger: Measure
    gain: Measure

    @property
    def suffices(self) -> bool:
        """The whole interval of the gain is above nothing."""
        return self.gain.low > 0

    def __str__(self) -> str:
        return (
            f"{spoken(self.metric)} {self.champion.value:.3f} → {self.challenger.value:.3f}, "
            f"gain {interval(self.gain)} on {self.gain.rows:,} rows"
        )


def compare(opened: Session, root: Path, champion: ModelVersion, challenger: ModelVersion) -> Evidence:
    """Compare on the challenger's test rows that are later than anything the champion was trained on.

    The session sees `dataset.MODEL` as of the challenger. Raises `ModelError` where there are no such rows, or they
    lack what the champion needs.
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
    """The executor of `promote`: ships an endpoint's challenger where it is measurably better, or the first one."""

    root: Path

    def __call__(self, step: Step, context: Context) -> StepResult:
        """StepResult with the endpoint's new champion, or with the reason why it stays."""
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
            return StepResult(message=f"{old.id} ships already")
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
            "the versions predict different things",
            got=f"{challenger.task} {', '.join(challenger.classes)}",
            expected=f"{champion.task} {', '.join(champion.classes)}",
        )


def _unseen(opened: Session, champion: ModelVersion, challenger: ModelVersion) -> ibis.Table:
    name = f"dataset.{challenger.model}"
    schema = opened.schema(f'SELECT * FROM "{name}"')
    missing = [column.name for column in champion.inputs if column.name not in schema]
    if missing:
        raise ModelError(
            "the champion needs columns that the challenger's dataset has not", got=", ".join(missing), where=name
        )
    dataset = ibis.table(schema, name=name)
    rows = dataset.filter(dataset[SPLIT] == "test")
    if champion.trained_until is not None:
        rows = rows.filter(rows[T] > ibis.literal(champion.trained_until))
    return rows.select(*_needed(champion, challenger), T, TARGET)


def _needed(*versions: ModelVersion) -> Sequence[str]:
    return list(dict.fromkeys(column.name for version in versions for column in version.inputs))


def _labels(rows: pa.Table, version: ModelVersion) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The target in the numbers of `version`'s classes."""
    import pyarrow as pa

    task: Task = version.task  # type: ignore[assignment]
    if task == "regression":
        return np.asarray(rows[TARGET].cast(pa.float64()).to_numpy(), float)
    number = {name: index for index, name in enumerate(version.classes)}
    return np.array([number[name] for name in rows[TARGET].cast(pa.string()).to_pylist()], float)
