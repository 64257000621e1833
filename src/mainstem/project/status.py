"""The status of a project: every node with its state, endpoints, findings and runs, for page and command line."""

from __future__ import annotations

from collections.abc import Sequence

from mainstem.models.versions.registry import redefined
from mainstem.monitoring.newest import newest
from mainstem.monitoring.verdicts import Verdict
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.findings import Finding
from mainstem.nodes.records import ModelVersion, RunRecord, StepRecord
from mainstem.nodes.status import (
    CheckStatus,
    EndpointStatus,
    FindingStatus,
    MonitorStatus,
    NodeStatus,
    ProjectStatus,
    RunStatus,
    StoreStatus,
)
from mainstem.planning.plan import Plan
from mainstem.planning.process import is_gone
from mainstem.project import challengers
from mainstem.project.branch import Branch
from mainstem.project.cohorts import cohorts, distributions
from mainstem.project.kinds import KINDS
from mainstem.project.monitors import histories
from mainstem.project.situation import uses_store

RUNS_SHOWN = 10


def status(branch: Branch) -> ProjectStatus:
    """Return the whole project on its branch, as the last run left it. No source is contacted."""
    plan = branch.plan(look=False)
    runs = branch.adapters.state.find(RunRecord, branch=branch.branch, newest=RUNS_SHOWN)
    last = _last_steps([*_makers(branch, runs), *runs], branch.sound)
    return ProjectStatus(
        project=branch.settings.project.name,
        profile=branch.settings.profile_name,
        branch=branch.branch,
        release=branch.release.id or None,
        online=_online(branch),
        nodes=[
            *(_node(definition, branch, plan, *last.get(definition.name, (None, None))) for definition in branch.sound),
            *(_broken(name, branch) for name in branch.sound.broken),
        ],
        endpoints=[_endpoint(branch, name, node) for name, node in branch.sound.of(Endpoint).items()],
        findings=[_finding(finding) for finding in branch.findings()],
        runs=[_run(run) for run in reversed(runs)],
        sample=str(branch.release.sample) if branch.release.sample else None,
    )


def _makers(branch: Branch, runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the runs before these that made what the branch publishes, oldest first."""
    made = {snapshot.run for snapshot in branch.release.tables.values()} - {run.id for run in runs}
    found = [branch.adapters.state.get(RunRecord, id) for id in made]
    return sorted((run for run in found if run is not None), key=lambda run: run.started_at)


def _last_steps(runs: Sequence[RunRecord], graph: Graph) -> dict[str, tuple[RunRecord, StepRecord]]:
    """Return the last step of each node, and its run. A failure counts until its definition changes, until a later run
    finds all nodes as declared, or until its step is done. What is done counts if its run published it; a step that
    found nothing to do leaves the checks of the one before."""
    last: dict[str, tuple[RunRecord, StepRecord]] = {}
    done: dict[str, tuple[RunRecord, StepRecord]] = {}
    for run in runs:
        published = run.status in ("published", "unchanged")
        if run.whole and published:
            last = dict(done)
        for step in run.steps:
            outdated = step.fingerprint and step.node in graph and step.fingerprint != graph[step.node].made_by
            if step.status == "done":
                if published:
                    before = done.get(step.node)
                    done[step.node] = (run, before[1] if before and _is_idle(step) else step)
                last.pop(step.node, None)
                last |= {step.node: done[step.node]} if step.node in done else {}
            elif step.status == "failed" and not outdated:
                last[step.node] = (run, step)
    return last


def _is_idle(step: StepRecord) -> bool:
    return not step.checks and not step.rows_in and not step.published


def _online(branch: Branch) -> StoreStatus | None:
    if not uses_store(branch.sound, branch.release) or not branch.adapters.has_store:
        return None
    store = branch.adapters.store
    return StoreStatus(store=store.where, durability=store.durability)


def _node(
    definition: Definition, branch: Branch, plan: Plan, run: RunRecord | None, step: StepRecord | None
) -> NodeStatus:
    name, node = definition.name, definition.node
    due = next((step.reason for step in plan.steps if step.node == name), None)
    failed = step is not None and step.status == "failed"
    snapshot = branch.release.tables.get(name)
    return NodeStatus(
        name=name,
        kind=KINDS.of(node).word(node),
        inputs=definition.inputs,
        state="failed" if failed else "stale" if due else "fresh",
        due=due,
        rows=snapshot.rows if snapshot else None,
        updated_at=run.ended_at.isoformat() if run and run.ended_at else None,
        description=node.description,
        owner=node.owner,
        where=str(node.origin),
        error=step.error if step else None,
        quarantined=step.quarantined if step else None,
        checks=_checks(step),
        remedies=[r.finding for r in branch.remedies if r.rule.node == name],
    )


def _broken(name: str, branch: Branch) -> NodeStatus:
    node = branch.nodes[name]
    return NodeStatus(
        name=name,
        kind=KINDS.of(node).word(node),
        state="failed",
        description=node.description,
        owner=node.owner,
        where=str(node.origin),
        error=str(branch.sound.broken[name]),
    )


def _checks(step: StepRecord | None) -> list[CheckStatus]:
    found = step.checks if step else ()
    return [
        CheckStatus(
            check=c.label,
            severity=c.severity,
            violations=c.violations,
            rows=c.rows,
            share=c.share,
            judged=c.judged,
            message=c.message,
        )
        for c in found
    ]


def _endpoint(branch: Branch, name: str, node: Endpoint) -> EndpointStatus:
    model = branch.sound.name_of(node.model)
    champion = _version(branch, branch.release.champion(name))
    challenger = _version(branch, branch.release.models.get(model))
    waiting = challenger.id if challenger and challenger != champion else None
    beside = list(challengers.told(branch, name, node))
    if champion is None:
        return EndpointStatus(name=name, model=model, challenger=waiting, beside=beside)
    measure, baseline = champion.metrics.get(champion.metric), champion.baseline.get(champion.metric)
    return EndpointStatus(
        name=name,
        model=model,
        champion=champion.id,
        challenger=waiting,
        metric=champion.metric,
        value=measure.value if measure else None,
        low=measure.low if measure else None,
        high=measure.high if measure else None,
        baseline=baseline.value if baseline else None,
        algorithm=champion.algorithm,
        redefined=redefined(champion, branch.sound),
        beside=beside,
        monitors=[
            _monitor(each) for each in newest(branch.adapters.state, name, branch.branch, champion.id, node.monitors)
        ],
        cohorts=cohorts(branch, name),
        history=histories(branch, name),
        days=distributions(branch, name),
    )


def _monitor(found: Verdict) -> MonitorStatus:
    measure = found.measure
    return MonitorStatus(
        monitor=found.monitor,
        metric=found.metric,
        judgement=found.judgement,
        text=found.text,
        judged_at=found.created_at.isoformat(),
        rows=found.rows,
        outcomes=found.outcomes,
        value=measure.value if measure else None,
        low=measure.low if measure else None,
        high=measure.high if measure else None,
        floor=found.floor,
    )


def _version(branch: Branch, id: str | None) -> ModelVersion | None:
    return branch.adapters.state.get(ModelVersion, id) if id else None


def _finding(finding: Finding) -> FindingStatus:
    return FindingStatus(
        id=finding.id,
        kind=finding.kind,
        node=finding.node,
        column=finding.column,
        state=finding.state,
        harmless=finding.harmless,
        summary=finding.summary,
        metric=finding.metric,
        cost=finding.cost.value if finding.cost else None,
    )


def _run(run: RunRecord) -> RunStatus:
    return RunStatus(
        id=run.id,
        status="interrupted" if run.status == "running" and is_gone(run.process) else run.status,
        started_at=run.started_at.isoformat(),
        seconds=(run.ended_at - run.started_at).total_seconds() if run.ended_at else None,
        steps=len(run.steps),
    )
