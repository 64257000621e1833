"""Learn a version: compare candidates, measure the choice on rows that it has not seen, and fit it on all rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from inspect import isfunction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import ModelError
from mainstem.masking import brief
from mainstem.models.algorithms import algorithm
from mainstem.models.algorithms.candidates import is_beyond
from mainstem.models.artifact import export
from mainstem.models.artifact.evaluation import EVALUATION, encode
from mainstem.models.artifact.manifest import EARLIER, Manifest, versions
from mainstem.models.artifact.scorer import run, session
from mainstem.models.data.ahead import grid_of, step_of
from mainstem.models.data.columns import split_inputs
from mainstem.models.data.rows import Beyond, Examples, Scores
from mainstem.models.evaluation import comparison as evaluation
from mainstem.models.evaluation import effects
from mainstem.models.evaluation.comparison import Comparison, Report
from mainstem.models.evaluation.drifting import drifted
from mainstem.models.evaluation.fitting import important
from mainstem.models.evaluation.outofsample import OutOfSample
from mainstem.models.evaluation.thresholds import Settled
from mainstem.models.metrics import Metric, confusion
from mainstem.models.metrics.drift import FEWEST
from mainstem.models.search.memory import Memory
from mainstem.models.splits import is_timed, repeated
from mainstem.models.training import queries
from mainstem.models.training.blueprint import Blueprint
from mainstem.models.training.choice import BEYOND, recorded
from mainstem.models.training.choosing import Choosing, allowance_of
from mainstem.models.training.kept import evaluation_of, held_out, in_order, pooled, threshold_of
from mainstem.models.training.offer import Kept, Offered, offered
from mainstem.models.training.preparation import preparation
from mainstem.models.training.prepared import IMMATURE, Prepared
from mainstem.nodes.durations import microseconds
from mainstem.nodes.forecasts import ahead_of
from mainstem.nodes.instants import instant_of
from mainstem.nodes.models import CLASSES, Model, Task
from mainstem.nodes.outcomes import Outcome
from mainstem.nodes.records import Measure

BASELINE = "naive"

Measures = Mapping[str, Measure]


@dataclass(frozen=True, eq=False)
class Made:
    """A gated, measured artifact that is not saved yet. Its manifest has no number and no lineage.

    `earlier` are the artifacts that were measured, by file name. They were fitted without the rows that measured them.
    `evaluation` is what was kept of the measurement.
    """

    manifest: Manifest
    onnx: bytes
    earlier: Mapping[str, bytes] = field(default_factory=dict)
    evaluation: bytes = b""

    @property
    def beside(self) -> dict[str, bytes]:
        """The files beside the model, by name."""
        return {**self.earlier, EVALUATION: self.evaluation}


@dataclass(frozen=True, eq=False)
class _Judged:
    """Scores of the measured artifacts and of the naive baseline, for the test rows in order.

    `decided` are the threshold and the decisions by it, if the model declares one.
    """

    compared: Comparison
    earlier: Mapping[str, bytes]
    measured: OutOfSample
    decided: tuple[Settled, NDArray[np.bool_]] | None = None


def learn(
    blueprint: Blueprint,
    task: Task,
    judge: Metric,
    prepared: Prepared,
    memory: Memory,
    report: Report,
) -> Made:
    """Compare or search, measure exported artifacts on rows that they have not seen, and export a fit on all rows.

    `memory` has the outcomes of a search that was killed.
    """
    model = blueprint.model
    kept = Kept()
    positive = bool((prepared.examples.y > 0).all())  # what ships is fitted on all rows
    choosing = Choosing(model, judge, report, allowance_of(model, len(prepared.parts.folds)), memory, positive)
    judged = (_held_out if prepared.parts.holdout is not None else _crossed)(choosing, prepared, kept)
    metrics = evaluation.measured(prepared.test, judged.measured.scores, judge, model.measured_also)
    if prepared.parts.cut is not None:
        metrics = drifted(metrics, judged.compared, prepared.train, prepared.test)
    baseline = evaluation.measured(prepared.test, judged.measured.naive, judge, model.measured_also)
    _defined(judge, metrics, baseline, prepared)
    learned = prepared.learned
    report(f"{judged.compared.chosen} on all {_learned(learned, judged.compared):,} rows …")
    final = offered(learned, judged.compared, prepared.test.rows, kept)
    report("evaluated …")
    shares, told = _importances(blueprint, judge, judged, final, learned)
    found = encode(
        evaluation_of(blueprint, judge, prepared, final.compared, judged.measured, judged.decided, shares, final.onnx)
    )
    manifest = Manifest(
        model=blueprint.name,
        number=0,
        task=task,
        algorithm=final.compared.chosen,
        metric=judge.name,
        inputs=blueprint.inputs,
        sha256=export.digest(final.onnx),
        classes=prepared.classes,
        metrics=metrics,
        baseline=baseline,
        folds=final.compared.scores,
        means={name: mean for name, mean in final.compared.means.items() if mean == mean},
        settings=_settings(final),
        evaluation=_evaluation(blueprint, prepared, final.compared, judged.decided) | kept.told(final.compared) | told,
        evaluated=export.digest(found),
        threshold=judged.decided[0].value if judged.decided is not None else None,
        confusion=_confusion(prepared.test, judged.measured.scores),
        importances=shares,
        preparation=preparation(final.estimator, blueprint.inputs, model.prepare),
        rows=prepared.rows | {"compared_on": final.compared.rows, "learned": _learned(learned, final.compared)},
        trained_until=_latest(learned, final.compared),
        measured_until=_latest(prepared.train, final.compared) if prepared.parts.holdout is not None else None,
        earlier={name: export.digest(onnx) for name, onnx in judged.earlier.items()},
        gate=final.agreement,
        choice=recorded(final.compared, prepared.examples) | _fitted_beyond(learned, final.compared),
        horizons=model.horizons,
        grid=grid_of(prepared.examples.times - blueprint.offset) if model.horizons else None,
        versions=versions(),
    )
    return Made(manifest, final.onnx, judged.earlier, found)


def _held_out(choosing: Choosing, prepared: Prepared, kept: Kept) -> _Judged:
    train, test, report = prepared.train, prepared.test, choosing.report
    compared = choosing.chosen(prepared.history)
    report(f"{compared.chosen} on {len(train):,} rows …")
    found = offered(train, compared, test.rows, kept)
    report("measured on the test rows …")
    naive = algorithm(BASELINE).fit(train).scores(test.rows)
    loaded = session(found.onnx)
    scores = run(loaded, test.rows)
    chosen = threshold_of(choosing.model, found.compared)
    decided = None if chosen is None else (chosen, scores >= chosen.value)
    measured = held_out(test, scores, naive, loaded)
    return _Judged(found.compared.only(), {EARLIER[0]: found.onnx}, measured, decided)


def _crossed(choosing: Choosing, prepared: Prepared, kept: Kept) -> _Judged:
    """Measure by cross-validation. Each fold chooses its candidate and its threshold anew, without its test rows."""
    examples, parts = prepared.examples, prepared.parts
    scores, naive, decided, sessions, earlier = [], [], [], [], {}
    for number, fold in enumerate(parts.folds, 1):
        past, future = examples.take(fold.train), examples.take(fold.test)
        evaluation.has_classes(past, number, len(parts.folds))
        compared = choosing.part(number).chosen(past)
        found = offered(past, compared, future.rows, kept)
        earlier[f"fold-{number}.onnx"] = found.onnx
        sessions.append(session(found.onnx))
        scores.append(run(sessions[-1], future.rows))
        naive.append(algorithm(BASELINE).fit(past).scores(future.rows))
        if (chosen := threshold_of(choosing.model, found.compared)) is not None:
            decided.append(scores[-1] >= chosen.value)
    compared = choosing.chosen(prepared.learned).without(kept.reasons)
    chosen, measured = threshold_of(choosing.model, compared), pooled(prepared, scores, naive, sessions)
    whole = None if chosen is None else (chosen, np.concatenate(decided)[in_order(prepared)])
    return _Judged(compared, earlier, measured, whole)


def _settings(final: Offered) -> dict[str, Any]:
    """Return the settings of the version: those that were declared, and those that were found."""
    return {**getattr(final.compared.ranked[0].algorithm, "chosen", {}), **final.estimator.settings}


def _confusion(test: Examples, scores: Scores) -> tuple[tuple[int, ...], ...]:
    """Return how many test rows of each class (rows) were decided for each class (columns)."""
    if test.task not in CLASSES:
        return ()
    matrix = confusion(test.y, scores)(np.ones(len(test)))
    return tuple(tuple(int(cell) for cell in row) for row in matrix)


def _beyond(examples: Examples, compared: Comparison) -> Beyond | None:
    """Return the rows that the engine fits the chosen candidate on; None if this process does."""
    return examples.beyond if is_beyond(compared.ranked[0].algorithm) else None


def _fitted_beyond(examples: Examples, compared: Comparison) -> dict[str, Any]:
    return {} if _beyond(examples, compared) is None else {BEYOND: True}


def _learned(examples: Examples, compared: Comparison) -> int:
    """Return how many rows the chosen candidate learns from."""
    found = _beyond(examples, compared)
    return len(examples) if found is None else found.rows


def _latest(examples: Examples, compared: Comparison) -> datetime | None:
    if not is_timed(examples.times):
        return None
    found = _beyond(examples, compared)
    latest = int(examples.times.max())
    return instant_of(latest if found is None else max(latest, found.latest))


def _defined(judge: Metric, metrics: Measures, baseline: Measures, prepared: Prepared) -> None:
    if judge.name not in metrics or judge.name not in baseline:
        raise ModelError(
            f"{judge.name} is undefined on the test rows",
            got=f"{len(prepared.test)} rows, {len(np.unique(prepared.test.y))} distinct targets",
            hint="a larger `test`, so that every class is in it",
        )


def _importances(
    blueprint: Blueprint, judge: Metric, judged: _Judged, final: Offered, learned: Examples
) -> tuple[dict[str, float], dict[str, str]]:
    """Return importances by input, largest first, and how they were found if the algorithm does not tell them."""
    floats, strings = split_inputs(blueprint.inputs)
    found = important(final.compared.chosen, final.estimator, learned)
    shares = dict(zip((*floats, *strings), found.tolist(), strict=True))
    told = {}
    if not any(shares.values()):
        shares = effects.shares(judged.measured, judge, (*floats, *strings))
        if any(shares.values()):
            told["importances"] = f"by shuffling each input of test rows once: {final.compared.chosen} tells none"
    return dict(sorted(shares.items(), key=lambda item: -item[1])), told


def _said_beyond(prepared: Prepared, learned: int) -> dict[str, str]:
    drawn = f"the {len(prepared.examples):,} rows of this process"
    return {
        "trees": f"fitted by Spark on {learned:,} rows; encodings, the first score, the comparison and the number of "
        f"rounds are of {drawn}, and so are the measures",
        "reproducible": "within a tolerance: Spark's workers add up float32 sums of the rows that they happen to have",
    }


def _folds(model: Model, folds: int, *, timed: bool) -> str:
    said = f"{folds}" if folds == model.folds or not timed else f"{folds} and not {model.folds}: rows are too few"
    if model.horizons:
        said += ", rolling-origin backtest"
    if timed:
        said += f", each from {'all' if model.window is None else model.window} before it"
    return said


def _of_one_group(prepared: Prepared, *, timed: bool) -> str:
    """Return in words that folds inside a training of one group cannot keep groups apart."""
    groups, parts = prepared.examples.groups, prepared.parts
    if timed or groups is None or not repeated(groups):
        return ""
    outer = parts.folds if parts.holdout is None else (parts.holdout,)
    alone = sum(len(np.unique(groups[fold.train])) < 2 for fold in outer)
    return f", stratified in {alone} of {len(outer)} trainings, which have one group" if alone else ""


def _shipped(model: Model, prepared: Prepared, name: str, learned: int) -> str:
    """Return on which rows the version was fitted that ships, in words."""
    labelled = prepared.rows["examples"] - prepared.rows["unlabelled"] - prepared.rows.get(IMMATURE, 0)
    rows = f"all {learned:,}" if learned >= labelled else f"{learned:,} of {labelled:,}"
    which = "" if model.window is None else f", the latest {model.window}"
    which += ", without those that `split` leaves out" if len(prepared.parts.left) and prepared.parts.given else ""
    drawn = f", of which at most {model.sampling.max_rows:,} are drawn" if model.sampling.max_rows is not None else ""
    return (
        f"{name} with the settings found, fitted again on {rows} labelled rows{which}{drawn}; "
        "the metrics are of the fit before"
    )


def _late(blueprint: Blueprint, prepared: Prepared) -> dict[str, str]:
    """Return in words how many labels came too late for the training, if the rows tell when they were known."""
    known, cut = prepared.examples.known, prepared.parts.cut
    if known is None or cut is None:
        return {}
    before = prepared.examples.times < cut - microseconds(blueprint.gap.length)
    late = int((before & (known >= cut)).sum())
    if not late:
        return {}
    at = " and ".join(map(str, blueprint.gap.late))
    return {"late labels": f"{late:,} rows are not in the training: known at {at}, after the test begins"}


def _evaluation(
    blueprint: Blueprint, prepared: Prepared, compared: Comparison, decided: tuple[Settled, NDArray[np.bool_]] | None
) -> dict[str, str]:
    """Return how the version was measured, in words."""
    model = blueprint.model
    parts, learned = prepared.parts, _learned(prepared.learned, compared)
    train = len(prepared.history) if parts.holdout is not None else len(prepared.learned)
    rows = f"{compared.rows:,} of {train:,} training rows"
    timed = is_timed(prepared.examples.times)
    said = {"split": parts.kind}
    if prepared.ungrouped:
        said["rows without a group"] = f"{prepared.ungrouped:,}: each is a group of its own"
    if parts.holdout is None:
        said["measured by"] = f"{len(parts.folds)}-fold cross-validation; each fold chooses the algorithm anew"
    else:
        said["test"] = f"from {instant_of(parts.cut):%Y-%m-%d %H:%M} on" if parts.cut is not None else parts.kind
    if timed:
        said["gap"] = str(blueprint.gap)
    said |= _late(blueprint, prepared)
    said["compared on"] = rows if compared.rows == train else f"{rows}, later ones likelier"
    said["folds"] = _folds(model, len(compared.folds), timed=timed) + _of_one_group(prepared, timed=timed)
    said |= compared.said
    said["intervals"] = f"95 %, bootstrap of {evaluation.resampled(prepared.test)}"
    if parts.cut is not None and len(compared.folds) + 1 >= FEWEST:
        said["intervals"] += ", and the drift between the folds and the test"
    if (few := evaluation.few_groups(prepared.test)) is not None:
        said["few groups"] = f"intervals resample {few} whole groups, and may be too narrow"
    if model.horizons:
        said["forecast"] = f"{ahead_of(model)}; rows are {step_of(prepared.examples.times)} apart"
    if isinstance(model.target, Outcome):
        young = prepared.rows[IMMATURE]
        said["labels"] = f"mature {model.target.after} after the prediction; {young:,} younger examples are left out"
    if decided is not None:
        chosen = decided[0]
        said["threshold"] = f"{chosen.value:.4g}: {chosen.rule}, on {chosen.rows:,} validation rows"
    said["ships"] = _shipped(model, prepared, compared.chosen, learned)
    if _beyond(prepared.learned, compared) is not None:
        said |= _said_beyond(prepared, learned)
    if sampled := [each for each in (_weighed(model), prepared.examples.sampling.said) if each]:
        said["learned from"] = "; ".join(sampled)
    if prepared.examples.queries is not None:
        said["queries"] = queries.told(prepared.examples)
    if model.prediction_time is None:
        said["leaks"] = "not checked by time: the model has no `prediction_time`"
    return said


def _weighed(model: Model) -> str:
    """Return what rows count by, in words; nothing without `weight`."""
    if model.weight is None:
        return ""
    return f"rows count by {'a function' if isfunction(model.weight) else brief(str(model.weight))}"
