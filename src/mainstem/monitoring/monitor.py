"""The executor of `monitor` steps: it judges an endpoint's predictions since the last judgement."""

from __future__ import annotations

from pathlib import Path

from mainstem.monitoring import performance
from mainstem.monitoring.drift import shifts
from mainstem.monitoring.partition import Batch, Watched, reference
from mainstem.monitoring.verdicts import Judgement, Shift, Verdict
from mainstem.nodes.endpoints import Drift, Performance
from mainstem.nodes.records import new_id
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step


class Monitor:
    """Runs an endpoint's monitors and saves their verdicts. A failing verdict is reported and does not fail the run."""

    def __init__(self, lake_root: Path) -> None:
        self.lake_root = lake_root

    def __call__(self, step: Step, context: Context) -> StepResult:
        watched = Watched.of(context, step.node)
        if watched is None:
            return StepResult(message="no version is live yet")
        predictions = watched.predictions()
        verdicts = [
            verdict
            for rule in watched.endpoint.monitors
            for verdict in (
                _drift(watched, rule, predictions)
                if isinstance(rule, Drift)
                else _performance(watched, rule, predictions)
                if isinstance(rule, Performance)
                else []
            )
        ]
        rows = max((v.rows for v in verdicts), default=0)
        known = max((v.outcomes for v in verdicts), default=0)
        said = "; ".join(v.text for v in verdicts)
        counted = f"{rows:,} new predictions, {known:,} outcomes"
        message = f"{counted}; {said}" if said else "no new predictions"
        return StepResult(rows_in=rows, message=message, records=tuple(verdicts))


def _drift(watched: Watched, rule: Drift, predictions: Batch) -> list[Verdict]:
    batch = watched.fresh(predictions, "drift", labelled=False)
    if not len(batch):
        return []
    if len(batch) < rule.min_rows:
        text = f"drift not judged: {len(batch):,} predictions, {rule.min_rows:,} are needed"
        return [_verdict(watched, batch, "drift", "not enough rows", text)]
    dataset = watched.dataset()
    held_out = reference(dataset)
    found = shifts(held_out.inputs, batch.inputs, watched.version.inputs, rule, dataset.inputs)
    drifted = sorted((s for s in found if s.drifted), key=lambda s: -s.effect)
    judgement: Judgement = "failing" if drifted else "fine"
    return [_verdict(watched, batch, "drift", judgement, _told(drifted, len(found)), shifts=found)]


def _told(drifted: list[Shift], inputs: int) -> str:
    if not drifted:
        return f"no drift in {inputs} inputs"
    named = ", ".join(shift.input for shift in drifted[:3])
    more = f" and {len(drifted) - 3} more" if len(drifted) > 3 else ""
    return f"drift in {len(drifted)} of {inputs} inputs ({named}{more})"


def _performance(watched: Watched, rule: Performance, predictions: Batch) -> list[Verdict]:
    if watched.version.task == "multiclass":
        return []  # the log keeps one number per prediction
    batch = watched.fresh(predictions, "performance", labelled=True)
    known = batch.take(batch.known)
    if not len(known):
        return []
    task = watched.version.task
    grade = performance.grade(
        rule,
        known.outcomes,
        known.scores,
        known.inputs.times,
        task=task,  # type: ignore[arg-type]
        default=watched.version.metric,
    )
    extra = {"metric": grade.metric, "measure": grade.measure, "floor": rule.floor}
    return [_verdict(watched, batch, "performance", grade.judgement, grade.text, **extra)]


def _verdict(watched: Watched, batch: Batch, monitor: str, judgement: Judgement, text: str, **extra: object) -> Verdict:
    return Verdict(
        id=new_id("vdt"),
        endpoint=watched.name,
        monitor=monitor,
        judgement=judgement,
        text=text,
        window=batch.window,
        rows=len(batch),
        outcomes=int(batch.known.sum()),
        model_version=watched.version.id,
        branch=watched.context.branch,
        run=watched.context.run,
        **extra,  # type: ignore[arg-type]
    )
