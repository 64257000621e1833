"""The executor of `train`: it turns a dataset into a measured, gated, immutable model version, the challenger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import numpy as np

from mainstem.errors import ModelError
from mainstem.features.leaks import assumed, check_rows
from mainstem.features.retrieval import meanings
from mainstem.graph.lineage import leaves
from mainstem.models.algorithms import algorithm
from mainstem.models.algorithms.base import Estimator
from mainstem.models.artifact import export, gate
from mainstem.models.artifact.manifest import Manifest, versions
from mainstem.models.artifact.scorer import run, session
from mainstem.models.data.labels import DEFAULT_METRIC
from mainstem.models.evaluation import comparison as evaluation
from mainstem.models.evaluation.comparison import Comparison, Report
from mainstem.models.metrics import Metric, metric
from mainstem.models.training.blueprint import Blueprint, blueprint_of
from mainstem.models.training.prepared import Prepared, prepare, task_of
from mainstem.models.versions.report import headline
from mainstem.nodes.hidden import SPLIT, TARGET
from mainstem.nodes.instants import instant_of
from mainstem.nodes.models import Model, Task
from mainstem.nodes.records import Measure, ModelVersion
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step
from mainstem.ports import ReplaceAll

if TYPE_CHECKING:
    from mainstem.ports import Session, Snapshot

BASELINE = "naive"

Measures = Mapping[str, Measure]


@dataclass(frozen=True)
class Train:
    """Trains a model of the graph. Artifacts are saved to `models/NAME/NUMBER` below `root`."""

    root: Path

    def __call__(self, step: Step, context: Context) -> StepResult:
        """Train a new version. Raises `ModelError`, and `GateError` if the artifact does not score like the fitted
        model."""
        blueprint = blueprint_of(context.graph, step.node)
        task, judge = _asked(blueprint)
        found = _dataset(blueprint, task, context)
        prepared, stored = found.prepared, found.stored
        made = learn(blueprint, task, judge, prepared, context.report)
        manifest = replace(made.manifest, evaluation={**made.manifest.evaluation, **found.doubts})
        version = self._save(_traced(manifest, blueprint, stored, context), made.onnx, context)
        context.lake.pin(stored, version.id)
        rows = len(prepared.table)
        return StepResult(
            tables={stored.table: stored},
            models={step.node: version.id},
            records=(version,),
            rows_in=rows,
            published=rows,
            message="; ".join([headline(version), *_unlabelled(prepared)]),
        )

    def _save(self, manifest: Manifest, onnx: bytes, context: Context) -> ModelVersion:
        """Save under the next free number. The directory is created atomically, so only one run gets a number."""
        known = context.records.find(ModelVersion, model=manifest.model)
        last = max((version.number for version in known), default=0)
        for _ in range(100):
            numbered = replace(manifest, number=export.next_number(self.root, manifest.model, last))
            path = export.save(self.root, numbered, onnx)
            if path is not None:
                return version_of(numbered, path)
        raise ModelError("no version number is free", where=str(self.root / "models" / manifest.model))


@dataclass(frozen=True, eq=False)
class Made:
    """A gated, measured artifact that is not saved yet. Its manifest has no number and no lineage."""

    manifest: Manifest
    onnx: bytes


def learn(blueprint: Blueprint, task: Task, judge: Metric, prepared: Prepared, report: Report) -> Made:
    """Compare, fit, export, pass the gate, and measure the exported artifact on the test rows once."""
    model, train = blueprint.model, prepared.train
    compared = evaluation.compare(train, model.candidates, judge, folds=model.folds, gap=model.gap, report=report)
    report(f"{compared.chosen} on {len(train):,} rows …")
    fitted = evaluation.fit(train, compared)
    report("export and gate …")
    widths = prepared.test.rows.floats.shape[1], prepared.test.rows.strings.shape[1]
    onnx = export.graph(fitted, *widths, task, train.classes)
    agreement = gate.check(fitted, onnx, prepared.test.rows, seed=model.seed)
    report("measured on the test rows …")
    naive = algorithm(BASELINE).fit(train)
    metrics = evaluation.measured(prepared.test, run(session(onnx), prepared.test.rows))
    baseline = evaluation.measured(prepared.test, naive.scores(prepared.test.rows))
    _defined(judge, metrics, baseline, prepared)
    manifest = Manifest(
        model=blueprint.name,
        number=0,
        task=task,
        algorithm=compared.chosen,
        metric=judge.name,
        inputs=blueprint.inputs,
        sha256=export.digest(onnx),
        classes=prepared.classes,
        metrics=metrics,
        baseline=baseline,
        folds=compared.scores,
        settings=fitted.settings,
        evaluation=_evaluation(model, prepared, compared),
        importances=_importances(blueprint, fitted),
        rows=prepared.rows | {"compared_on": compared.rows},
        trained_until=instant_of(int(train.times.max())),
        gate=agreement,
        versions=versions(),
    )
    return Made(manifest, onnx)


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
        folds=evaluation.means(manifest.folds),
        rows=manifest.rows,
        trained_until=manifest.trained_until,
        snapshots=manifest.snapshots,
        definitions=manifest.definitions,
    )


def _asked(blueprint: Blueprint) -> tuple[Task, Metric]:
    """Return the task and the metric. Invalid declarations are refused before any data is read."""
    task = task_of(blueprint.model, blueprint.dataset)
    for candidate in blueprint.model.candidates:
        algorithm(candidate)
    if not blueprint.model.candidates:
        raise ModelError("`candidates` must not be empty", hint='candidates=["linear", "lightgbm"]')
    return task, metric(blueprint.model.metric or DEFAULT_METRIC[task], task)


def _defined(judge: Metric, metrics: Measures, baseline: Measures, prepared: Prepared) -> None:
    if judge.name not in metrics or judge.name not in baseline:
        raise ModelError(
            f"{judge.name} is undefined on the test rows",
            got=f"{len(prepared.test)} rows, {len(np.unique(prepared.test.y))} distinct targets",
            hint="a larger `test`, so that every class is in it",
        )


@dataclass(frozen=True, eq=False)
class _Dataset:
    """A dataset prepared for learning, its snapshot, and warnings about its rows."""

    prepared: Prepared
    stored: Snapshot
    doubts: Mapping[str, str]


def _dataset(blueprint: Blueprint, task: Task, context: Context) -> _Dataset:
    context.report("dataset …")
    with context.session(leaves(blueprint.dataset)) as opened:
        check_rows(context.graph, blueprint.name, lambda query: opened.fetch(query).to_pylist())
        prepared = prepare(blueprint.model, task, opened.fetch(blueprint.dataset), blueprint.inputs, blueprint.key)
        schema = {column: str(kind.copy(nullable=True)) for column, kind in blueprint.dataset.schema().items()}
        table = ibis.table({**schema, SPLIT: "string"}, name=f"dataset.{blueprint.name}")
        opened.add(table.get_name(), prepared.table)
        doubts = _shared(table, blueprint, opened) | _contradicted(blueprint, context, opened)
        return _Dataset(prepared, _store(table, opened, context), doubts)


def _store(table: ibis.Table, opened: Session, context: Context) -> Snapshot:
    name = table.get_name()
    target = context.lake.target(name, {column: str(kind) for column, kind in table.schema().items()})
    files = opened.write(table, target)
    base = context.release.tables.get(name)
    return context.lake.commit(name, target, files, base=base, run=context.run, change=ReplaceAll())


def _shared(table: ibis.Table, blueprint: Blueprint, opened: Session) -> dict[str, str]:
    """Return the warning about test rows that equal training rows in inputs and target."""
    alike = [*(column.name for column in blueprint.inputs), TARGET]
    train, test = (table.filter(table[SPLIT] == side).select(alike) for side in ("train", "test"))
    twice = test.semi_join(train, [test[c].identical_to(train[c]) for c in alike])
    (counts,) = opened.fetch(twice.aggregate(shared=twice.count())).to_pylist()
    return {"rows in training and test": f"{counts['shared']:,}, inputs and target alike"} if counts["shared"] else {}


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
    count = prepared.rows["unlabelled"]
    return [f"{count:,} unlabelled"] if count else []


def _traced(manifest: Manifest, blueprint: Blueprint, stored: Snapshot, context: Context) -> Manifest:
    """Return the manifest with its lineage: the run, its inputs, and the upstream definitions."""
    read = {leaf: context.snapshot(leaf).id for leaf in sorted(leaves(blueprint.dataset))}
    upstream = sorted({*context.graph.dag.upstream(blueprint.name), blueprint.name})
    return replace(
        manifest,
        run=context.run,
        fingerprint=context.graph[blueprint.name].fingerprint,
        snapshots=read | {stored.table: stored.id},
        definitions={name: context.graph[name].fingerprint for name in upstream}
        | meanings(context.graph, blueprint.name),
    )


def _importances(blueprint: Blueprint, fitted: Estimator) -> dict[str, float]:
    """Return importances by input, largest first. The blocks are floats, then strings."""
    order = sorted(blueprint.inputs, key=lambda column: column.type != "float")
    shares = dict(zip((column.name for column in order), fitted.importances(len(order)).tolist(), strict=True))
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _evaluation(model: Model, prepared: Prepared, compared: Comparison) -> dict[str, str]:
    rows = f"{compared.rows:,} of {len(prepared.train):,} training rows"
    whole_days = evaluation.days(prepared.test.times) is not None
    return {
        "test": f"from {instant_of(prepared.cut):%Y-%m-%d %H:%M} on" if prepared.cut is not None else "stratified",
        "gap": model.gap,
        "compared on": rows if compared.rows == len(prepared.train) else f"{rows}, later ones likelier",
        "folds": f"{model.folds}, each from all before it" if prepared.cut is not None else f"{model.folds}",
        "intervals": f"95 %, bootstrap of {'whole days' if whole_days else 'rows'}",
    }
