"""Convert the results of a search to findings: records with readable sentences."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from mainstem.feedback.case import Case
from mainstem.feedback.causes import Cause
from mainstem.feedback.changes import Change
from mainstem.feedback.remedies import ratio
from mainstem.feedback.search import NEGLIGIBLE, Loss, Repair
from mainstem.monitoring.partition import Watched
from mainstem.monitoring.verdicts import Shift
from mainstem.nodes.definition import Graph
from mainstem.nodes.expressions import names_in
from mainstem.nodes.findings import Evidence, Finding, Recovery
from mainstem.nodes.models import Model, Task
from mainstem.nodes.records import Measure

LOSS_OF: dict[Task, str] = {"regression": "squared error", "count": "deviance", "quantile": "pinball loss"}
"""The loss of a row, in words, where it is not the log loss."""


def of_repair(watched: Watched, case: Case, repair: Repair, id: str) -> Finding:
    """Return the finding of a change of unit: a `source_change`, or a harmless `drift` without a cost."""
    change, recovery = repair.change, repair.recovery
    finding = _base(watched, case, id, change.node, change.column)
    inputs = [s.input for s in repair.shifts]
    return replace(
        finding,
        kind="drift" if repair.harmless else "source_change",
        harmless=repair.harmless,
        evidence=_evidence(repair),
        summary=f"{said(change)}; {cost(case, recovery.recovered, repair.harmless)}",
        cost=recovery.recovered,
        detectable=detectable(recovery.recovered),
        rivals=repair.rivals,
        lineage=(*inputs, *_way(watched, change.node), change.place),
        rule=change.rule,
        promised=recovery,
    )


def of_loss(watched: Watched, case: Case, loss: Loss, id: str) -> Finding:
    """Return the finding of a column that has lost its worth. It has no remedy to replay."""
    gain = loss.gain
    node, _, column = gain.sources[0].rpartition(".")
    finding = _base(watched, case, id, node, column)
    words = LOSS_OF.get(case.task, "log loss")
    worth = f"without it a row's {words} grows by {gain.kept:+.4f} now, by {gain.used:+.4f} on the held-out rows"
    return replace(
        finding,
        evidence=(
            Evidence(f"gain in {words} (Welch, by day)", gain.gain.value, gain.used, gain.kept, gain.adjusted_p),
        ),
        summary=f"{gain.named} helps {watched.name} less than before: {worth}; {cost(case, loss.cost, False)}",
        cost=loss.cost,
        detectable=detectable(loss.cost),
        rivals=loss.rivals,
        lineage=(*gain.inputs, *_way(watched, node), *gain.sources),
    )


def of_cause(watched: Watched, case: Case, cause: Cause, id: str) -> Finding:
    """Return the finding of wrong labels or of a changed world. It has no remedy to replay."""
    columns = ", ".join(gain.named for gain in cause.gains)
    model: Model = watched.endpoint.model
    examples = watched.context.graph.name_of(model.examples)
    way: tuple[str, ...]
    if cause.flips is not None:
        missed, flipped = cause.flips
        node, column, way = examples, target_of(watched), (examples,)
        wrong = f"some {missed:.0%} of the true are recorded as false, {flipped:.0%} of the false as true"
        what = f"the outcomes of {watched.name} look wrong: {wrong}"
        hint = f"{columns} only seem to help less"
    else:
        node, _, column = cause.gains[0].sources[0].rpartition(".")
        way = (*cause.gains[0].inputs, *_way(watched, node), *cause.gains[0].sources)
        what = f"the world changed: what {watched.name} predicts depends otherwise on {columns} than in training"
        hint = f"retrain {watched.model} on rows since then"
    words = LOSS_OF.get(case.task, "log loss")
    evidence = tuple(
        Evidence(f"gain of {g.named} in {words} (Welch, by day)", g.gain.value, g.used, g.kept, g.adjusted_p)
        for g in cause.gains
    )
    return replace(
        _base(watched, case, id, node, column),
        kind=cause.kind,
        evidence=evidence,
        summary=f"{what}; {hint}; {cost(case, cause.cost, False)}",
        cost=cause.cost,
        detectable=detectable(cause.cost),
        rivals=cause.rivals,
        lineage=way,
    )


def target_of(watched: Watched) -> str:
    """Return the column of the examples that is the target, or the first column that it is computed from."""
    model: Model = watched.endpoint.model
    return next(iter(sorted(names_in(model.target))), "target")


def said(change: Change) -> str:
    """Return the change as text: `departures.dep_delay is multiplied by 60, as from minutes to seconds, since …`."""
    conversion = change.match.conversion
    old, _, new = conversion.name.partition(" → ")
    shape = f"multiplied by {conversion.factor:.6g}" + (f" plus {conversion.offset:g}" if conversion.offset else "")
    since = f"since {change.since:%Y-%m-%d %H:%M} UTC"
    until = f" until {change.until:%Y-%m-%d %H:%M} UTC" if change.until else ""
    return f"{change.place} is {shape}, as from {old} to {new}, {since}{until}"


def cost(case: Case, measure: Measure, harmless: bool) -> str:
    """Return the cost in the model's metric as text. A harmless change has a negligible cost, or none was measured."""
    words = case.metric.name.replace("_", " ")
    size = f"{measure.value:.3f} ({measure.low:.3f} to {measure.high:.3f}) of {words}"
    if not harmless:
        return f"it costs {size}"
    if measure.high <= 2 * NEGLIGIBLE * abs(case.value(case.served)):
        return f"its cost is negligible: {size}"
    return f"no cost was measured: {size}; a cost below {detectable(measure):.3f} would not be detected"


def detectable(measure: Measure) -> float:
    """Return the smallest cost that is detected with a power of 80 % at a level of 5 %: 2.8 standard errors."""
    return (measure.high - measure.low) / 3.92 * 2.8


def verified(finding: Finding, realised: Recovery) -> Finding:
    """Close an accepted finding by the effect of its remedy.

    It is verified if the metric recovered (not required for a harmless one) by at least the lower end of the promise.
    """
    promised = finding.promised
    enough = promised is None or realised.recovered.high >= promised.recovered.low
    better = finding.harmless or realised.recovered.low > 0
    return replace(finding, realised=realised, state="verified" if enough and better else "failed")


def _base(watched: Watched, case: Case, id: str, node: str, column: str) -> Finding:
    window = case.window
    owner = watched.context.graph[node].node.owner if node in watched.context.graph else None
    return Finding(
        id=id,
        kind="source_change",
        node=node,
        column=column,
        partition=f"predictions.{watched.name} {window[0]:%Y-%m-%d}…{window[1]:%Y-%m-%d}",
        rows=len(case.rows),
        endpoint=watched.name,
        model_version=watched.version.id,
        window=window,
        evidence=(),
        summary="",
        metric=case.metric.name,
        owner=owner,
        branch=watched.context.branch,
        run=watched.context.run,
    )


def _evidence(repair: Repair) -> tuple[Evidence, ...]:
    change, match = repair.change, repair.change.match
    p = min((s.adjusted_p for s in repair.shifts), default=1.0)
    turned = ratio(change.factor) or f"{change.factor:.6g}"
    found = [
        Evidence(f"KS of {change.place}", match.before, change.reference, change.current, p),
        Evidence(f"KS after × {turned}", match.after, change.reference, _undone(change), p),
    ]
    if match.shares is not None:
        found.append(Evidence("values off the usual grid", 1 - match.shares[0], 0.0, 1 - match.shares[1], p))
    found += [_of_shift(shift) for shift in repair.shifts]
    gain = repair.gain
    if gain is not None:
        found.append(Evidence("gain (Welch, by day)", gain.gain.value, gain.used, gain.kept, gain.adjusted_p))
    return tuple(found)


def _undone(change: Change) -> float:
    factor, offset = change.match.conversion.inverse()
    return change.current * factor + offset


def _of_shift(shift: Shift) -> Evidence:
    return Evidence(f"PSI of {shift.input}", shift.effect, shift.reference, shift.current, shift.adjusted_p)


def _way(watched: Watched, node: str) -> tuple[str, ...]:
    """Return the nodes between the model and a source, the model's side first."""
    return way(watched.context.graph, watched.model, node)


def way(graph: Graph, start: str, end: str) -> tuple[str, ...]:
    """Return the shortest path from a node to one of its inputs, without both ends; empty if there is none."""
    before: dict[str, str | None] = {start: None}
    waiting = deque([start])
    while waiting and end not in before:
        name = waiting.popleft()
        for needed in graph.dag.needs.get(name, ()):
            if needed not in before:
                before[needed] = name
                waiting.append(needed)
    steps: list[str] = []
    at = before.get(end)
    while at is not None and at != start:
        steps.append(at)
        at = before[at]
    return tuple(reversed(steps))
