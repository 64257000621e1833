"""The executor of `attribute` steps: it verifies accepted findings, and opens new ones if a model loses accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from mainstem.feedback import guards, remedies, reporting
from mainstem.feedback.attribution import Score
from mainstem.feedback.case import Case
from mainstem.feedback.changes import Window, series
from mainstem.feedback.decisions import muted
from mainstem.feedback.replay import derived, replayed
from mainstem.feedback.search import Found, search
from mainstem.models.artifact.manifest import EARLIER
from mainstem.models.artifact.scorer import Scorer
from mainstem.models.metrics import Array, of_version
from mainstem.monitoring.cohorts import settled, share_of
from mainstem.monitoring.judged import judged, keep
from mainstem.monitoring.partition import Batch, Watched
from mainstem.monitoring.performance import GONE
from mainstem.monitoring.verdicts import Verdict
from mainstem.nodes.definition import Graph
from mainstem.nodes.findings import Finding, Rule
from mainstem.nodes.instants import micros_of
from mainstem.nodes.models import WIDE, Task
from mainstem.nodes.records import ModelVersion, new_id, now
from mainstem.nodes.tables import Table
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step
from mainstem.ports import Artifacts

Regraph = Callable[[Sequence[Rule]], Graph]
"""Resolves the project again, with these rules in addition to its own."""

ATTRIBUTION = "attribution"
FEWEST = 500
"""Rows with outcomes below which nothing is said."""
HELD_OUT = 100
"""Held-out rows below which there is nothing to compare with."""


class Attribute:
    """Searches the predictions of an endpoint since the last search, once their outcomes are known.

    Parameters: the project's `root` (with remedies.toml), the lake's `artifacts`, and `regraph`.
    """

    def __init__(self, root: Path, artifacts: Artifacts, regraph: Regraph) -> None:
        self.root = root
        self.artifacts = artifacts
        self.regraph = regraph

    def __call__(self, step: Step, context: Context) -> StepResult:
        watched = Watched.of(context, step.node)
        if watched is None:
            return StepResult(message="no version is live yet")
        in_force = remedies.read(self.root / remedies.FILE)
        warnings = [g.text for g in guards.check(context, [r.rule for r in in_force]) if not g.holds]
        closed = self._verify(watched, {r.finding for r in in_force if _is_applied(watched, r.rule)})
        predictions = watched.predictions()
        due = predictions.known & settled(predictions, share_of(watched))
        new = due & ~judged(watched, predictions, ATTRIBUTION)
        opened, said, marks = self._search(watched, predictions.take(new), closed)
        told = [*warnings, *(f"{f.id} {f.state}" for f in closed), said]
        tables = keep(watched, predictions, ATTRIBUTION, new) if marks else {}
        message = "; ".join(t for t in told if t)
        return StepResult(tables=tables, message=message, records=(*closed, *opened, *marks))

    # ── what was accepted ────────────────────────────────────────────────────────────────────────────

    def _verify(self, watched: Watched, in_force: set[str]) -> list[Finding]:
        """Close the accepted findings whose remedies this run's graph applies. The metric on the same rows decides."""
        accepted = watched.context.records.find(
            Finding, endpoint=watched.name, branch=watched.context.branch, state="accepted"
        )
        closed = []
        for finding in accepted:
            if finding.id in in_force:
                watched.context.report(f"verifying {finding.id} …")
                closed += self._realised(watched, finding)
        return closed

    def _realised(self, watched: Watched, finding: Finding) -> list[Finding]:
        version = watched.context.records.get(ModelVersion, finding.model_version)
        if version is None:
            return [replace(finding, state="failed", reason=f"{finding.model_version} no longer exists")]
        then = replace(watched, version=version)
        if _gone(version):
            watched.context.report(f"{finding.id} is not verified: {_gone(version)}")
            return []
        batch = _within(then.predictions(), finding.window)
        batch = batch.take(batch.known)
        if not len(batch):
            return [replace(finding, state="failed", reason="its predictions no longer exist")]
        case = Case.of(then, batch, *self._scorers(then))
        columns = replayed(then, batch, watched.context.graph, {f"{finding.node}.{finding.column}"})
        return [reporting.verified(finding, case.recovery(case.rescored(columns)))]

    def _scorers(self, watched: Watched) -> tuple[Score, Score]:
        """Return the version's artifact, and the one that has not seen its test rows."""
        directory = self.artifacts / watched.version.artifact
        live = Scorer.load(directory)
        earlier = next((file for file in EARLIER if file in live.manifest.earlier), None)
        return live.score, live.score if earlier is None else Scorer.load(directory, earlier).score

    # ── what is new ──────────────────────────────────────────────────────────────────────────────────

    def _search(
        self, watched: Watched, known: Batch, closed: Sequence[Finding]
    ) -> tuple[list[Finding], str, list[Verdict]]:
        if not len(known):
            return [], "", []
        kind = watched.version.task
        if kind == "ranking":
            return [], "causes are not searched for ranking models: a row has no loss of its own", []
        if watched.endpoint.model.horizons:
            return [], "causes are not searched for forecasts: the label is of another row than the inputs", []
        if kind in WIDE:
            return [], f"causes are not searched for {kind} models: a prediction has several scores", []
        if len(known) < FEWEST:
            return [], f"causes not judged: {len(known):,} new outcomes, {FEWEST:,} are needed", []
        if gone := _gone(watched.version):
            return [], f"causes not judged: {gone}", []
        watched.context.report("searching for causes …")
        before = _before(watched, closed)
        case = Case.of(watched, known, *self._scorers(watched))
        if len(case.reference) < HELD_OUT:
            held_out = f"{watched.version.id} has {len(case.reference):,} held-out rows"
            return [], f"causes not judged: {held_out}, {HELD_OUT:,} are needed", []
        read = partial(series, watched.context)
        found = search(case, read, _Replays(watched, known, self.regraph), _suspect(before))
        opened = _new(watched, case, found, before)
        alarms = sum(not finding.harmless for finding in opened)
        text = _told(opened, alarms, len(known))
        return opened, text, [_mark(watched, known, text, failing=bool(alarms))]


def _is_applied(watched: Watched, rule: Rule) -> bool:
    """Return whether the tables between a remedy and the model are published with the remedy. It may have been accepted
    during this run, or a table may not be built because another step failed."""
    graph, release = watched.context.graph, watched.context.release
    if rule.node not in graph or rule not in graph[rule.node].rules:
        return False
    between = graph.dag.downstream(rule.node) & graph.dag.upstream(watched.model)
    tables = (name for name in between if isinstance(graph[name].node, Table))
    return all(release.fingerprints.get(name) == graph[name].made_by for name in tables)


def _gone(version: ModelVersion) -> str:
    """Return that the metric of a version is gone, in words; nothing if the project has it."""
    found = of_version(version.metric, cast(Task, version.task))
    return "" if found is not None else f"{version.metric.replace('_', ' ')}: {GONE}"


class _Replays:
    """Replays of some predictions by the rules in force, cached."""

    def __init__(self, watched: Watched, batch: Batch, regraph: Regraph) -> None:
        self.watched = watched
        self.batch = batch
        self.regraph = regraph
        self.done: dict[tuple[Rule, ...], Mapping[str, Array]] = {}

    def __call__(self, rules: Sequence[Rule]) -> Mapping[str, Array]:
        key = tuple(rules)
        if key not in self.done:
            self.done[key] = self._merged(key) if self._apart(key) else self._replayed(key)
        return self.done[key]

    def _apart(self, rules: tuple[Rule, ...]) -> bool:
        """Return whether no input derives from columns of two rules, so that their replays can be combined."""
        inputs = self.watched.version.inputs
        names = [c.name for rule in rules for c in derived(inputs, {_place(rule)})]
        return len(rules) > 1 and len(names) == len(set(names))

    def _merged(self, rules: tuple[Rule, ...]) -> Mapping[str, Array]:
        return {name: column for rule in rules for name, column in self([rule]).items()}

    def _replayed(self, rules: tuple[Rule, ...]) -> Mapping[str, Array]:
        return replayed(self.watched, self.batch, self.regraph(rules), {_place(rule) for rule in rules})


def _place(rule: Rule) -> str:
    return rule.place


def _within(batch: Batch, window: Window) -> Batch:
    times = batch.inputs.times
    return batch.take((times >= micros_of(window[0])) & (times <= micros_of(window[1])))


def _before(watched: Watched, closed: Sequence[Finding]) -> list[Finding]:
    """Return the endpoint's findings, with those that this step closed in their new state."""
    found = watched.context.records.find(Finding, endpoint=watched.name, branch=watched.context.branch)
    return list({finding.id: finding for finding in (*found, *closed)}.values())


def _suspect(findings: Sequence[Finding]) -> dict[str, list[Window]]:
    """Return the windows of uncorrected findings by column. They are not used as a reference."""
    windows: dict[str, list[Window]] = {}
    for finding in findings:
        if finding.state not in ("accepted", "verified"):
            windows.setdefault(f"{finding.node}.{finding.column}", []).append(finding.window)
    return windows


def _new(watched: Watched, case: Case, found: Found, before: Sequence[Finding]) -> list[Finding]:
    """Return the new findings, without those that are open, accepted or muted already."""
    drafts = [
        *(reporting.of_repair(watched, case, repair, "") for repair in found.repairs),
        *(reporting.of_loss(watched, case, loss, "") for loss in found.losses),
        *(reporting.of_cause(watched, case, cause, "") for cause in found.causes),
    ]
    drafts.sort(key=lambda f: (f.harmless, -(f.cost.value if f.cost else 0.0)))
    moment = now()
    heard = [d for d in drafts if muted(before, moment, d.kind, d.node, d.column, d.model_version) is None]
    first = watched.context.state.reserve("finding", len(heard)) if heard else 0
    return [replace(draft, id=f"F{first + n}") for n, draft in enumerate(heard)]


def _told(opened: Sequence[Finding], alarms: int, rows: int) -> str:
    if not opened:
        return f"no loss found in {rows:,} predictions with outcomes"
    count = f"{alarms} finding{'s' if alarms != 1 else ''}" if alarms else "no finding"
    harmless = len(opened) - alarms
    more = f", {harmless} harmless drift{'s' if harmless != 1 else ''}" if harmless else ""
    return f"{count}{more}: " + "; ".join(f"{f.id} {f.summary}" for f in opened)


def _mark(watched: Watched, batch: Batch, text: str, *, failing: bool) -> Verdict:
    return Verdict(
        id=new_id("vdt"),
        endpoint=watched.name,
        monitor=ATTRIBUTION,
        judgement="failing" if failing else "fine",
        text=text,
        window=batch.window,
        rows=len(batch),
        outcomes=int(np.sum(batch.known)),
        model_version=watched.version.id,
        branch=watched.context.branch,
        run=watched.context.run,
    )
