"""The executor of `monitor` steps: it judges an endpoint's predictions since the last judgement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mainstem.monitoring import performance
from mainstem.monitoring.calibration import calibrated
from mainstem.monitoring.cohorts import cohorts, immature, saved, settled
from mainstem.monitoring.compared import compared
from mainstem.monitoring.drift import shifts
from mainstem.monitoring.judged import judged, keep
from mainstem.monitoring.partition import Batch, Watched, reference
from mainstem.monitoring.verdicts import Cohort, Judgement, Shift, Verdict
from mainstem.monitoring.worth import mean, worths
from mainstem.nodes.endpoints import Calibration, Drift, Performance, Value
from mainstem.nodes.forecasts import is_calendar
from mainstem.nodes.records import new_id
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step
from mainstem.ports import Artifacts, Snapshot


class Monitor:
    """Runs an endpoint's monitors and saves their verdicts. A failing verdict is reported and does not fail the run."""

    def __init__(self, artifacts: Artifacts) -> None:
        self.artifacts = artifacts

    def __call__(self, step: Step, context: Context) -> StepResult:
        watched = Watched.of(context, step.node)
        if watched is None:
            return StepResult(message="no version is live yet")
        predictions, verdicts, tables = watched.predictions(), list[Verdict](), dict[str, Snapshot]()
        for rule in (m for m in watched.endpoint.monitors if isinstance(m, (Calibration, Drift, Performance, Value))):
            name = _name(watched, rule)
            due = True if isinstance(rule, Drift) else predictions.known & settled(predictions, rule.mature)
            new = ~judged(watched, predictions, name) & due
            if not new.any():
                continue
            verdict = _judge(watched, rule, predictions.take(new))
            verdicts.append(verdict)
            if verdict.judgement != "not enough rows":
                tables |= keep(watched, predictions, name, new)
        rows = max((v.rows for v in verdicts), default=0)
        known = max((v.outcomes for v in verdicts), default=0)
        changed = cohorts(watched, predictions)
        counted = f"{_counted(rows, 'new prediction')}, {_counted(known, 'outcome')}"
        said = [counted, *(v.text for v in verdicts)] if verdicts else ["no new predictions"]
        told = filter(None, [*said, _young(watched, changed), *_sent(*watched.sent())])
        return StepResult(tables=tables, rows_in=rows, message="; ".join(told), records=(*verdicts, *changed))


def _young(watched: Watched, changed: Sequence[Cohort]) -> str:
    """Return what a run says of days whose outcomes are not known yet."""
    every = {each.id: each for each in (*saved(watched.context, watched.name, watched.version.id), *changed)}
    return immature(list(every.values()))


def _sent(unknown: int, corrected: int) -> Iterator[str]:
    """Yield what a run says of outcomes that clients sent."""
    if unknown:
        yield f"{_counted(unknown, 'sent outcome')} with an id that no prediction has"
    if corrected:
        yield f"{_counted(corrected, 'sent outcome')} replaced by a later one"


def _name(watched: Watched, rule: Calibration | Drift | Performance | Value) -> str:
    """Return the name under which judged predictions are stored. One endpoint may watch two metrics."""
    if isinstance(rule, Performance):
        return f"performance.{rule.metric or watched.version.metric}"
    if isinstance(rule, Calibration):
        return "calibration"
    return "drift" if isinstance(rule, Drift) else "value"


def _judge(watched: Watched, rule: Calibration | Drift | Performance | Value, new: Batch) -> Verdict:
    if isinstance(rule, Value):
        return _value(watched, rule, new)
    if isinstance(rule, Calibration):
        return _performance(watched, calibrated(rule, watched.version.task), new, "calibration")
    return _drift(watched, rule, new) if isinstance(rule, Drift) else _performance(watched, rule, new, "performance")


def _value(watched: Watched, rule: Value, known: Batch) -> Verdict:
    """Judge what decisions were worth. The upper end of the interval is compared with the floor."""
    values = worths(watched, known, rule)
    valued = np.isfinite(values)
    if valued.sum() < rule.min_rows:
        text = (
            f"value not judged: {_counted(int(valued.sum()), 'decision')} with outcomes, {rule.min_rows:,} are needed"
        )
        return _verdict(watched, known, "value", "not enough rows", text)
    found = mean(values[valued], known.inputs.times[valued])
    failing = found.high < rule.floor
    side = "below" if failing else "above" if found.value >= rule.floor else "not significantly below"
    told = f"a decision was worth {found.value:.4g} ({found.low:.4g} to {found.high:.4g})"
    text = f"{told}, {values[valued].sum():,.0f} in all, {side} the floor of {rule.floor:g}"
    extra = {"metric": "value", "measure": found, "floor": rule.floor}
    return _verdict(watched, known, "value", "failing" if failing else "fine", text, **extra)


def _drift(watched: Watched, rule: Drift, batch: Batch) -> Verdict:
    if len(batch) < rule.min_rows:
        text = f"drift not judged: {_counted(len(batch), 'prediction')}, {rule.min_rows:,} are needed"
        return _verdict(watched, batch, "drift", "not enough rows", text)
    dataset = watched.dataset()
    held_out = reference(dataset)
    forecasts = bool(watched.endpoint.model.horizons)  # their calendar is not of the data
    inputs = [each for each in watched.version.inputs if not (forecasts and is_calendar(each.name))]
    found = shifts(held_out.inputs, batch.inputs, inputs, rule, dataset.inputs)
    drifted = sorted((s for s in found if s.drifted), key=lambda s: -s.effect)
    judged_inputs = [s for s in found if s.enough]
    judgement: Judgement = "failing" if drifted else "fine" if judged_inputs else "not enough rows"
    return _verdict(watched, batch, "drift", judgement, _told(drifted, found, rule.min_rows), shifts=found)


def _told(drifted: Sequence[Shift], found: Sequence[Shift], needed: int) -> str:
    sparse = [shift for shift in found if not shift.enough]
    few = f"{_named(sparse)}: fewer than {needed:,} rows, now or held out" if sparse else ""
    if len(sparse) == len(found):
        return f"drift not judged in {few}" if few else "drift not judged: the model has no inputs"
    enough = _counted(len(found) - len(sparse), "input")
    text = f"drift in {len(drifted)} of {enough} ({_named(drifted)})" if drifted else f"no drift in {enough}"
    return f"{text}, not judged in {few}" if few else text


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _named(shifts: Sequence[Shift]) -> str:
    more = f" and {len(shifts) - 3} more" if len(shifts) > 3 else ""
    return ", ".join(shift.input for shift in shifts[:3]) + more


def _performance(watched: Watched, rule: Performance, known: Batch, monitor: str) -> Verdict:
    task = watched.version.task
    truth, scores = compared(watched.version, known)
    grade = performance.grade(
        rule,
        truth,
        scores,
        known.inputs.times,
        task=task,  # type: ignore[arg-type]
        default=watched.version.metric,
    )
    extra = {"metric": grade.metric, "measure": grade.measure, "floor": rule.floor}
    return _verdict(watched, known, monitor, grade.judgement, grade.text, **extra)


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
