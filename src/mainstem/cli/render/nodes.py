"""The state of a project, and one node of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.markup import escape

from mainstem.cli.render.tables import grid, rows
from mainstem.cli.render.words import cell, instant, seconds, styled

HEAD = ("name", "kind", "description", "owner", "where")


def status(status: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Nodes, endpoints, findings and the last runs."""
    place = (status.get(name) for name in ("project", "profile", "branch", "release"))
    project, profile, branch, release = (escape(str(text or "–")) for text in place)
    yield f"[bold]{project}[/]  profile {profile}  branch {branch}  release {release}"
    columns = ("node", "kind", "state", "rows", "updated", "why")
    yield grid(columns, map(_node, status["nodes"]), markup=True, counts=("rows",))
    if status.get("endpoints"):
        yield ""
        yield grid(
            ("endpoint", "model", "champion", "challenger", "measured", "naive"), map(_endpoint, status["endpoints"])
        )
    for endpoint in status.get("endpoints", ()):
        if endpoint.get("redefined"):
            yield f"[yellow]{escape(_redefined(endpoint))}[/]"
    if status.get("findings"):
        yield ""
        yield grid(("finding", "kind", "column", "state", "summary"), map(_finding, status["findings"]), markup=True)
    if status.get("runs"):
        yield ""
        yield grid(("run", "status", "started", "took", "steps"), map(_run, status["runs"]), markup=True)


def _node(node: Mapping[str, Any]) -> tuple[Any, ...]:
    trouble, due = escape((node.get("error") or "").split("\n")[0]), escape(node.get("due") or "")
    return (
        escape(node["name"]),
        node["kind"],
        styled(node["state"]),
        node.get("rows"),
        instant(node.get("updated_at")),
        f"[red]{trouble}[/]" if trouble else f"[dim]{due}[/]" if due else "",
    )


def _endpoint(endpoint: Mapping[str, Any]) -> tuple[Any, ...]:
    value, low, high = (endpoint.get(name) for name in ("value", "low", "high"))
    interval = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    measured = "" if value is None else f"{endpoint.get('metric')} {value:.3f}{interval}"
    names = ("name", "model", "champion", "challenger")
    naive = "" if endpoint.get("baseline") is None else f"{endpoint['baseline']:.3f}"
    return (*(endpoint.get(name) or "–" for name in names), measured, naive)


def _redefined(endpoint: Mapping[str, Any]) -> str:
    """That a champion sees other features than it was trained on."""
    features = ", ".join(endpoint["redefined"])
    hint = f"mainstem run, then mainstem promote {endpoint['model']}"
    return f"{endpoint['champion']} was trained when these meant something else: {features}. {hint}"


def _finding(finding: Mapping[str, Any]) -> tuple[str, ...]:
    column = f"{finding['node']}.{finding['column']}"
    return (finding["id"], finding["kind"], escape(column), styled(finding["state"]), escape(finding["summary"]))


def _run(run: Mapping[str, Any]) -> tuple[Any, ...]:
    steps = run.get("steps")
    number = len(steps) if isinstance(steps, list | tuple) else steps
    return (run["id"], styled(run["status"]), instant(run.get("started_at")), seconds(run.get("seconds")), number)


def shown(node: Mapping[str, Any], width: int) -> Iterator[RenderableType]:
    """A node: facts first, then its schema, then whatever else the project knows of it, then a sample of rows."""
    name, kind, where = (escape(str(node.get(fact) or "")) for fact in ("name", "kind", "where"))
    yield f"[bold]{name}[/]  {kind}  {where}"
    if node.get("description"):
        yield escape(str(node["description"]))
    if node.get("owner"):
        yield escape(f"owner: {node['owner']}")
    for fact, value in node.items():
        if fact in (*HEAD, "schema", "sample") or value in (None, "", [], {}, ()):
            continue
        yield from _section(fact, value, width)
    if node.get("schema"):
        yield from _section("schema", node["schema"], width)
    if node.get("sample"):
        yield "[bold]sample[/]"
        yield from rows(list(node["sample"][0]), node["sample"], width)


def _section(name: str, value: Any, width: int) -> Iterator[RenderableType]:
    """A mapping as lines, a list of mappings as a table, else one line."""
    if isinstance(value, Mapping):
        yield f"[bold]{escape(name)}[/]"
        longest = max(map(len, map(str, value)))
        yield from (f"  {escape(str(key)):<{longest}}  {escape(cell(item))}" for key, item in value.items())
    elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        yield f"[bold]{escape(name)}[/]"
        yield from rows(list(value[0]), value, width)
    else:
        yield f"[bold]{escape(name)}[/]  {escape(f'{value:,}' if isinstance(value, int) else cell(value))}"
