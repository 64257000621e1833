"""What there is: every node with its state, endpoints, findings and runs, as plain data for page and command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mainstem.models.registry import redefined
from mainstem.nodes.definition import Definition
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.features import FeatureView
from mainstem.nodes.findings import Finding
from mainstem.nodes.models import Model
from mainstem.nodes.records import ModelVersion, Release, RunRecord, StepRecord
from mainstem.planning.plan import Plan
from mainstem.planning.process import is_gone

if TYPE_CHECKING:
    from mainstem.project.project import Project

RUNS_SHOWN = 10


def status(project: Project) -> dict[str, Any]:
    """The whole project on its branch. Instants are ISO 8601 texts, numbers plain."""
    release, plan = project.release, project.plan()
    runs = project.adapters.state.find(RunRecord, branch=project.branch, newest=RUNS_SHOWN)
    last = _last_steps(runs)
    return {
        "project": project.settings.project.name,
        "profile": project.settings.profile_name,
        "branch": project.branch,
        "release": release.id or None,
        "online": _online(project),
        "nodes": [_node(definition, project, release, plan, last) for definition in project.graph],
        "endpoints": [_endpoint(project, name, node, release) for name, node in project.graph.of(Endpoint).items()],
        "findings": [_finding(finding) for finding in project.findings()],
        "runs": [_run(run) for run in reversed(runs)],
    }


def _online(project: Project) -> dict[str, Any] | None:
    if not project.adapters.has_store:
        return None
    store = project.adapters.store
    return {"store": store.where, "durability": store.durability}


def _last_steps(runs: list[RunRecord]) -> dict[str, tuple[RunRecord, StepRecord]]:
    return {step.node: (run, step) for run in runs for step in run.steps if step.status != "skipped"}


def _node(
    definition: Definition,
    project: Project,
    release: Release,
    plan: Plan,
    last: dict[str, tuple[RunRecord, StepRecord]],
) -> dict[str, Any]:
    name, node = definition.name, definition.node
    due = next((step.reason for step in plan.steps if step.node == name), None)
    run, step = last.get(name, (None, None))
    failed = step is not None and step.status == "failed"
    snapshot = release.tables.get(name)
    return {
        "name": name,
        "kind": kind_of(definition),
        "inputs": list(definition.inputs),
        "state": "failed" if failed else "stale" if due else "fresh",
        "due": due,
        "rows": snapshot.rows if snapshot else None,
        "updated_at": run.ended_at.isoformat() if run and run.ended_at else None,
        "description": node.description,
        "owner": node.owner,
        "where": str(node.origin),
        "error": step.error if step else None,
        "quarantined": step.quarantined if step else None,
        "checks": _checks(step),
        "remedies": [r.finding for r in project.remedies if r.rule.node == name],
    }


def _checks(step: StepRecord | None) -> list[dict[str, Any]]:
    found = step.checks if step else ()
    return [{"check": c.label, "severity": c.severity, "violations": c.violations, "rows": c.rows} for c in found]


def kind_of(definition: Definition) -> str:
    """A word for the node: the source's kind, `table`, `features`, `model` or `endpoint`."""
    words = {FeatureView: "features", Model: "model", Endpoint: "endpoint"}
    return words.get(type(definition.node), type(definition.node).__name__.lower())


def _endpoint(project: Project, name: str, node: Endpoint, release: Release) -> dict[str, Any]:
    model = project.graph.name_of(node.model)
    champion = _version(project, release.endpoints.get(name))
    challenger = _version(project, release.models.get(model))
    measure = champion.metrics.get(champion.metric) if champion else None
    baseline = champion.baseline.get(champion.metric) if champion else None
    return {
        "name": name,
        "model": model,
        "champion": champion.id if champion else None,
        "challenger": challenger.id if challenger and challenger != champion else None,
        "metric": champion.metric if champion else None,
        "value": measure.value if measure else None,
        "low": measure.low if measure else None,
        "high": measure.high if measure else None,
        "baseline": baseline.value if baseline else None,
        "algorithm": champion.algorithm if champion else None,
        "redefined": list(redefined(champion, project.graph)) if champion else [],
    }


def _version(project: Project, id: str | None) -> ModelVersion | None:
    return project.adapters.state.get(ModelVersion, id) if id else None


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "kind": finding.kind,
        "node": finding.node,
        "column": finding.column,
        "state": finding.state,
        "harmless": finding.harmless,
        "summary": finding.summary,
        "metric": finding.metric,
        "cost": finding.cost.value if finding.cost else None,
    }


def _run(run: RunRecord) -> dict[str, Any]:
    seconds = (run.ended_at - run.started_at).total_seconds() if run.ended_at else None
    return {
        "id": run.id,
        "status": "interrupted" if run.status == "running" and is_gone(run.process) else run.status,
        "started_at": run.started_at.isoformat(),
        "seconds": seconds,
        "steps": len(run.steps),
    }
