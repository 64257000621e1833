"""The page at `/`: the graph with the state of every node, endpoints, findings and runs, from one status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec

from mainstem.errors import MissingExtra
from mainstem.nodes.status import FindingStatus, NodeStatus, ProjectStatus
from mainstem.pages.charts import distributions, history
from mainstem.pages.layout import HEIGHT, WIDTH, draw

if TYPE_CHECKING:
    from jinja2 import Template

LONGEST = 21
"""The maximum number of characters of a name in a box."""


def render(status: ProjectStatus) -> str:
    """Return the page as HTML. `status` is the response of `GET /api/status`."""
    nodes = {node.name: node for node in status.nodes}
    drawing = draw({name: node.inputs for name, node in nodes.items()})
    return _template().render(
        status=status,
        nodes=nodes,
        drawing=drawing,
        box=(WIDTH, HEIGHT),
        states=_counts(nodes),
        findings=_by_state(status.findings),
        failing=failing(status),
        mark=mark(status),
        needs=_embedded({name: list(node.inputs) for name, node in nodes.items()}),
    )


def failing(status: ProjectStatus) -> list[str]:
    """Return the endpoints with a failing monitor."""
    return [each.name for each in status.endpoints if any(m.judgement == "failing" for m in each.monitors)]


def mark(status: ProjectStatus) -> str:
    """Return a text that changes when the page must be redrawn."""
    states = ",".join(f"{node.name}:{node.state}" for node in status.nodes)
    findings = ",".join(f"{finding.id}:{finding.state}" for finding in status.findings)
    runs = ",".join(f"{run.id}:{run.status}" for run in status.runs[:1])
    judged = ",".join(f"{m.judged_at}:{m.judgement}" for endpoint in status.endpoints for m in endpoint.monitors)
    return "|".join((str(status.release), states, findings, runs, judged))


def _embedded(value: Any) -> str:
    """Return JSON that is safe inside a script element."""
    return msgspec.json.encode(value).decode().replace("<", "\\u003c")


def _counts(nodes: Mapping[str, NodeStatus]) -> dict[str, int]:
    found = dict[str, int].fromkeys(("fresh", "stale", "failed"), 0)
    for node in nodes.values():
        found[node.state] += 1
    return {state: count for state, count in found.items() if count}


def _by_state(findings: Sequence[FindingStatus]) -> list[FindingStatus]:
    """Return findings ordered by state: open ones first, then those in progress; harmless ones after the others."""
    order = {"open": 0, "accepted": 1, "failed": 2, "verified": 3, "rejected": 4}
    return sorted(findings, key=lambda f: (order.get(f.state, 9), f.harmless))


def short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def number(value: Any) -> str:
    """Return a number as text: `336,776`, `0.627`, or `–` for None."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def minute(instant: str | None) -> str:
    """Return an ISO 8601 text as `2013-12-01 10:00` in UTC."""
    return instant[:16].replace("T", " ") if instant else "–"


@cache
def _template() -> Template:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise MissingExtra.named("serve", "jinja2") from None
    loader = PackageLoader("mainstem.pages")
    environment = Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    environment.filters.update(short=short, number=number, minute=minute, chart=history, charts=distributions)
    environment.globals["css"] = resources.files("mainstem.pages").joinpath("templates/page.css").read_text()
    environment.globals["script"] = resources.files("mainstem.pages").joinpath("templates/page.js").read_text()
    return environment.get_template("page.html")
