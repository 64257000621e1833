"""The state of a project, and one node of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from rich.console import RenderableType
from rich.markup import escape

from mainstem.cli.render.tables import grid, rows
from mainstem.cli.render.words import cell, instant, seconds, styled
from mainstem.nodes.status import (
    CohortStatus,
    Details,
    EndpointStatus,
    FindingStatus,
    MonitorStatus,
    NodeStatus,
    ProjectStatus,
    RunStatus,
)


def status(status: ProjectStatus) -> Iterator[RenderableType]:
    """Yield nodes, endpoints, findings and the last runs."""
    place = (status.project, status.profile, status.branch, status.release)
    project, profile, branch, release = (escape(str(text or "–")) for text in place)
    yield f"[bold]{project}[/]  profile {profile}  branch {branch}  release {release}"
    if status.sample:
        yield f"[yellow]the branch works on a sample: {escape(status.sample)}[/]"
    columns = ("node", "kind", "state", "rows", "updated", "why")
    yield grid(columns, map(_node, status.nodes), markup=True, counts=("rows",))
    if status.endpoints:
        yield ""
        yield grid(
            ("endpoint", "model", "champion", "challenger", "measured", "naive"), map(_endpoint, status.endpoints)
        )
    for endpoint in status.endpoints:
        yield from (escape(f"{endpoint.name}: {text}") for text in endpoint.beside)
        if endpoint.monitors:
            yield ""
            yield grid((f"{endpoint.name}: monitor", "judged", "found"), map(_monitor, endpoint.monitors), markup=True)
        if endpoint.cohorts:
            yield ""
            valued = ("worth",) if any(each.worth is not None for each in endpoint.cohorts) else ()
            days = (f"{endpoint.name}: day", "predictions", "outcomes", endpoint.cohorts[-1].metric, *valued)
            yield grid(days, [_cohort(each)[: len(days)] for each in endpoint.cohorts], counts=("predictions",))
        if endpoint.redefined:
            yield f"[yellow]{escape(_redefined(endpoint))}[/]"
    if status.findings:
        yield ""
        yield grid(("finding", "kind", "column", "state", "summary"), map(_finding, status.findings), markup=True)
    if status.runs:
        yield ""
        yield grid(("run", "status", "started", "took", "steps"), map(_run, status.runs), markup=True)


def _node(node: NodeStatus) -> tuple[Any, ...]:
    trouble, due = escape((node.error or "").split("\n")[0]), escape(node.due or "")
    why = f"[red]{trouble}[/]" if trouble else f"[dim]{due}[/]" if due else ""
    return (escape(node.name), node.kind, styled(node.state), node.rows, instant(node.updated_at), why)


def _endpoint(endpoint: EndpointStatus) -> tuple[Any, ...]:
    value, low, high = endpoint.value, endpoint.low, endpoint.high
    interval = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    measured = "" if value is None else f"{endpoint.metric} {value:.3f}{interval}"
    names = (endpoint.name, endpoint.model, endpoint.champion, endpoint.challenger)
    naive = "" if endpoint.baseline is None else f"{endpoint.baseline:.3f}"
    return (*(name or "–" for name in names), measured, naive)


def _monitor(found: MonitorStatus) -> tuple[Any, ...]:
    colour = {"failing": "red", "not enough rows": "dim"}.get(found.judgement)
    text = escape(found.text)
    return (found.monitor, instant(found.judged_at), f"[{colour}]{text}[/]" if colour else text)


def _cohort(cohort: CohortStatus) -> tuple[Any, ...]:
    value, low, high = cohort.value, cohort.low, cohort.high
    measured = "" if value is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"
    known = f"{cohort.share:.0%}" + ("" if cohort.mature else ", not mature")
    return (cohort.day, cohort.predictions, known, measured, cohort.valued)


def _redefined(endpoint: EndpointStatus) -> str:
    """Return the warning that a champion reads other features than it was trained on."""
    features = ", ".join(endpoint.redefined)
    hint = f"mainstem run, then mainstem promote {endpoint.model}"
    return f"{endpoint.champion} was trained with other definitions of: {features}. {hint}"


def _finding(finding: FindingStatus) -> tuple[str, ...]:
    column = f"{finding.node}.{finding.column}"
    return (finding.id, finding.kind, escape(column), styled(finding.state), escape(finding.summary))


def _run(run: RunStatus) -> tuple[Any, ...]:
    return (run.id, styled(run.status), instant(run.started_at), seconds(run.seconds), run.steps)


def shown(node: Details, width: int) -> Iterator[RenderableType]:
    """Yield a node: facts first, then its schema, other details, and a sample of rows."""
    facts = {field.name: getattr(node, field.name) for field in fields(node)}
    name, kind, where = (escape(str(facts.pop(fact, None) or "")) for fact in ("name", "kind", "where"))
    yield f"[bold]{name}[/]  {kind}  {where}"
    description, owner = facts.pop("description", None), facts.pop("owner", None)
    if description:
        yield escape(description)
    if owner:
        yield escape(f"owner: {owner}")
    schema, sample = facts.pop("schema", None), facts.pop("sample", None)
    card = facts.pop("card", None)
    for fact, value in facts.items():
        if value not in (None, "", [], {}, ()):
            yield from _section(fact, value, width)
    if card:
        from mainstem.models.versions.report import lines

        yield "[bold]card[/]"
        yield from map(escape, lines(card) if isinstance(card, Mapping) else [card])
    if schema:
        yield from _section("schema", schema, width)
    if sample:
        yield "[bold]sample[/]"
        yield from rows(list(sample[0]), sample, width)


def _section(name: str, value: Any, width: int) -> Iterator[RenderableType]:
    """Yield a mapping as lines, a list of mappings as a table, else one line."""
    if isinstance(value, Mapping):
        yield f"[bold]{escape(name)}[/]"
        longest = max(map(len, map(str, value)))
        yield from (f"  {escape(str(key)):<{longest}}  {escape(cell(item))}" for key, item in value.items())
    elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        yield f"[bold]{escape(name)}[/]"
        yield from rows(list(value[0]), value, width)
    else:
        yield f"[bold]{escape(name)}[/]  {escape(f'{value:,}' if isinstance(value, int) else cell(value))}"
