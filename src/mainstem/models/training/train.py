"""The executor of `train`: it turns a dataset into a measured, gated, immutable model version, the challenger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import ibis

from mainstem.errors import ModelError
from mainstem.features.forecasts import check_series
from mainstem.features.leaks import assumed, check_rows
from mainstem.features.requests import sent
from mainstem.features.retrieval import meanings
from mainstem.graph.fingerprint import digest
from mainstem.graph.lineage import leaves
from mainstem.models.algorithms import candidates
from mainstem.models.artifact import export
from mainstem.models.artifact.manifest import Manifest
from mainstem.models.data.labels import DEFAULT_METRIC, PERHAPS_NO_LABEL, texts_among, told
from mainstem.models.data.two import told_of_two
from mainstem.models.metrics import Metric, judge_of
from mainstem.models.search.memory import Memory
from mainstem.models.training.beyond import Reading, Stored, stored_rows
from mainstem.models.training.blueprint import Blueprint, blueprint_of
from mainstem.models.training.choosing import remembered
from mainstem.models.training.declared import check_candidate, is_spread
from mainstem.models.training.drawing import BUDGET, Stratum, drawn, may_draw, rest, strata
from mainstem.models.training.learn import Made, learn
from mainstem.models.training.prepared import IMMATURE, Prepared, prepare, task_of
from mainstem.models.training.repeated import alike, shared
from mainstem.models.training.undrawn import with_parts
from mainstem.models.versions.report import headline, means_of
from mainstem.nodes.hidden import SPLIT, TARGET
from mainstem.nodes.models import CLASSES, Task
from mainstem.nodes.records import ModelVersion
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step
from mainstem.ports import Boosting, ReplaceAll

if TYPE_CHECKING:
    from mainstem.ports import Session, Snapshot


@dataclass(frozen=True)
class Train:
    """Trains a model of the graph. Artifacts are saved to `models/NAME/NUMBER` below `root`.

    Searches keep what they have tried below `searches`, so that one that was killed goes on; None keeps nothing. A
    dataset of more than `budget` rows is drawn to about as many by the engine.
    """

    root: Path
    searches: Path | None = None
    budget: int = BUDGET

    def __call__(self, step: Step, context: Context) -> StepResult:
        """Train a new version. Raises `ModelError`, and `GateError` if the artifact does not score like the fitted
        model."""
        blueprint = blueprint_of(context.graph, step.node)
        task, judge = _asked(blueprint)
        found = _dataset(blueprint, task, context, self.budget)
        prepared, stored = found.prepared, found.stored
        memory = self._memory(blueprint, prepared, context)
        made = learn(blueprint, task, judge, prepared, memory, context.report)
        two = (
            told_of_two(prepared.table[TARGET], blueprint.model.target, task) if blueprint.model.task is None else None
        )
        doubts = {**found.doubts, **({"rows of two kinds": two} if two else {})}
        manifest = replace(made.manifest, evaluation={**made.manifest.evaluation, **doubts})
        version = self._save(_traced(manifest, blueprint, stored, context), made, context)
        context.lake.pin(stored, version.id)
        memory.forget()
        rows = len(prepared.table)
        return StepResult(
            tables={stored.table: stored},
            models={step.node: version.id},
            records=(version,),
            rows_in=rows,
            published=rows,
            message="; ".join([headline(version), *_unlabelled(prepared), *([two] if two else [])]),
        )

    def _memory(self, blueprint: Blueprint, prepared: Prepared, context: Context) -> Memory:
        """Return what a search of this model on this branch has tried before it was killed."""
        name = blueprint.name
        home = None if self.searches is None else self.searches / f"{name}-{digest(context.branch)}"
        return remembered(blueprint.model, home, context.graph[name].fingerprint, prepared.examples)

    def _save(self, manifest: Manifest, made: Made, context: Context) -> ModelVersion:
        """Save under the next free number. The directory is created atomically, so only one run gets a number."""
        known = context.records.find(ModelVersion, model=manifest.model)
        last = max((version.number for version in known), default=0)
        for _ in range(100):
            numbered = replace(manifest, number=export.next_number(self.root, manifest.model, last))
            path = export.save(self.root, numbered, made.onnx, made.beside)
            if path is not None and context.lake.keep_artifact(path.as_posix()):
                return version_of(numbered, path)
        raise ModelError("no version number is free", where=str(self.root / "models" / manifest.model))


def version_of(manifest: Manifest, artifact: Path) -> ModelVersion:
    """Return the record of an artifact, from its manifest and path."""
    return ModelVersion(
        id=f"{manifest.model}-{manifest.number}",
        model=manifest.model,
        number=manifest.number,
        run=manifest.run,
        fingerprint=manifest.fingerprint,
        artifact=artifact.as_posix(),
        task=manifest.task,
        algorithm=manifest.algorithm,
        metric=manifest.metric,
        inputs=manifest.inputs,
        classes=manifest.classes,
        created_at=manifest.created_at,
        metrics=manifest.metrics,
        baseline=manifest.baseline,
        folds=means_of(manifest),
        rows=manifest.rows,
        trained_until=manifest.trained_until,
        measured_until=manifest.measured_until,
        snapshots=manifest.snapshots,
        definitions=manifest.definitions,
        request=manifest.request,
    )


def _asked(blueprint: Blueprint) -> tuple[Task, Metric]:
    """Return the task and the metric. Invalid declarations are refused before any data is read."""
    task = task_of(blueprint.model, blueprint.dataset)
    for each in candidates(blueprint.model.candidates or ()):  # one of a package is known from here on
        check_candidate(each, blueprint.model, task)
    return task, judge_of(blueprint.model.metric or DEFAULT_METRIC[task], task)


@dataclass(frozen=True, eq=False)
class _Dataset:
    """A dataset prepared for learning, its snapshot, and warnings about its rows."""

    prepared: Prepared
    stored: Snapshot
    doubts: Mapping[str, str]


def _dataset(blueprint: Blueprint, task: Task, context: Context, budget: int) -> _Dataset:
    context.report("dataset …")
    with context.session(leaves(blueprint.dataset)) as opened:
        check_rows(context.graph, blueprint.name, lambda query: opened.fetch(query).to_pylist())
        check_series(context.graph, blueprint.name, lambda query: opened.fetch(query).to_pylist())
        draw = _within(blueprint, task, context, opened, budget)
        prepared = prepare(blueprint.model, task, opened.fetch(draw.rows), blueprint.inputs, blueprint.key)
        schema = {column: str(kind.copy(nullable=True)) for column, kind in blueprint.dataset.schema().items()}
        table = ibis.table({**schema, SPLIT: "string"}, name=f"dataset.{blueprint.name}")
        opened.add(table.get_name(), prepared.table)
        doubts = _repeated(prepared) | _unclear(task, prepared) | _contradicted(blueprint, context, opened) | draw.said
        if not is_spread(blueprint.model):
            return _Dataset(prepared, _store(table, None, opened, context), doubts)
        if not isinstance(opened, Boosting) or (prepared.parts.holdout is None and draw.rest is None):
            doubts["xgboost@spark"] = f"fitted in this process: {_why_here(opened)}"
            return _Dataset(prepared, _store(table, None, opened, context), doubts)
        asked = blueprint.model, task, prepared, blueprint.key, opened
        more = None if draw.rest is None else with_parts(draw.rest, *asked)
        stored = _store(table, more, opened, context)
    beyond = _beyond(table, stored, task, prepared, blueprint, context)
    return _Dataset(replace(prepared, beyond=beyond), stored, doubts)


def _why_here(opened: Session) -> str:
    if isinstance(opened, Boosting):
        return "the version is measured by cross-validation"
    return "the engine keeps tables of this size here"


def _beyond(
    table: ibis.Table, stored: Snapshot, task: Task, prepared: Prepared, blueprint: Blueprint, context: Context
) -> Stored | None:
    """Return the stored rows, for candidates that the engine fits on them."""
    scan = context.scan(stored)
    reading = Reading(blueprint.inputs, task, prepared.classes)
    return stored_rows(table, lambda: context.engine.session({stored.table: scan}), reading)


@dataclass(frozen=True, eq=False)
class _Draw:
    """The rows to load, the `rest` if they are drawn, and a note for the card."""

    rows: ibis.Table
    rest: ibis.Table | None = None
    said: dict[str, str] = field(default_factory=dict)


def _within(blueprint: Blueprint, task: Task, context: Context, opened: Session, budget: int) -> _Draw:
    """Return the dataset, or a sample of it if it has more rows than the budget."""
    whole = blueprint.dataset
    if not may_draw(blueprint.model) or all(context.snapshot(leaf).rows <= budget for leaf in leaves(whole)):
        return _Draw(whole)
    found = [Stratum.of(row) for row in opened.fetch(strata(whole, task)).to_pylist()]
    rows = sum(each.rows for each in found)
    if rows <= budget:
        return _Draw(whole)
    note = f"about {budget:,} of {rows:,} rows (training_rows): each class has its share, later rows are likelier"
    asked = whole, blueprint.key, task, found, budget
    return _Draw(drawn(*asked), rest(*asked), {"sampled in the engine": note})


def _store(table: ibis.Table, more: ibis.Table | None, opened: Session, context: Context) -> Snapshot:
    """Store the rows of a table, and `more` beside them."""
    name = table.get_name()
    target = context.lake.target(name, {column: str(kind) for column, kind in table.schema().items()})
    files = opened.write(table, target)
    files += opened.write(more, target) if more is not None else ()
    base = context.release.tables.get(name)
    return context.lake.commit(name, target, files, base=base, run=context.run, change=ReplaceAll())


def _repeated(prepared: Prepared) -> dict[str, str]:
    """Return the warnings about rows that stand in training and test, or in several folds."""
    twice, several = shared(prepared), alike(prepared)
    found = {"rows in training and test": f"{twice:,}, inputs and target alike"} if twice else {}
    return found | ({"rows alike in several folds": f"{several:,}, inputs and target"} if several else {})


def _unclear(task: Task, prepared: Prepared) -> dict[str, str]:
    """Return the classes that may be missing values."""
    found = texts_among(prepared.table[TARGET], PERHAPS_NO_LABEL) if task in CLASSES else {}
    hint = 'options={"nulls": {"COLUMN": […]}} of ms.files makes them unlabelled'
    return {"rows of a class that may mean a missing target": f"{told(found)}; {hint}"} if found else {}


def _contradicted(blueprint: Blueprint, context: Context, opened: Session) -> dict[str, str]:
    """Return the columns of `assume_known` that the examples contradict."""
    found = assumed(context.graph, blueprint.name)
    if found is None:
        return {}
    for leaf in leaves(found.query) - leaves(blueprint.dataset):
        opened.add(leaf, context.scan(context.snapshot(leaf)))
    (counts,) = opened.fetch(found.query).to_pylist()
    return {f"assume_known {column}": told for column, told in found.told(counts).items()}


def _unlabelled(prepared: Prepared) -> list[str]:
    counts = {"unlabelled": prepared.rows["unlabelled"], "not mature": prepared.rows.get(IMMATURE, 0)}
    return [f"{count:,} {what}" for what, count in counts.items() if count]


def _traced(manifest: Manifest, blueprint: Blueprint, stored: Snapshot, context: Context) -> Manifest:
    """Return the manifest with its lineage: the run, its inputs, and the upstream definitions."""
    read = {leaf: context.snapshot(leaf).id for leaf in sorted(leaves(blueprint.dataset))}
    upstream = sorted({*context.graph.dag.upstream(blueprint.name), blueprint.name})
    return replace(
        manifest,
        run=context.run,
        fingerprint=context.graph[blueprint.name].fingerprint,
        snapshots=read | {stored.table: stored.id},
        request=dict(sent(context.graph, blueprint.name, {}).fields),
        definitions={name: context.graph[name].fingerprint for name in upstream}
        | meanings(context.graph, blueprint.name),
    )
