"""Findings and remedies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.markup import escape

from mainstem.cli.render.tables import grid
from mainstem.cli.render.words import count, instant, measure, styled

if TYPE_CHECKING:
    from mainstem.nodes.findings import Finding, Recovery, Remedy, Rule


def table(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """Yield one line per finding, followed by their summaries."""
    rows = [(f.id, styled(f.state), f.kind, f"{f.node}.{f.column}", f.endpoint, cost(f)) for f in findings]
    yield grid(("finding", "state", "kind", "column", "endpoint", "cost"), rows, markup=True)
    yield ""
    yield from (f"[bold]{f.id}[/]  {escape(f.summary)}" for f in findings)


def line(finding: Finding) -> str:
    """Return the line of a run about a finding that it opened or closed."""
    return f"finding {finding.id} {styled(finding.state)}: {escape(finding.summary)}"


def cost(finding: Finding) -> str:
    """Return the cost in the model's metric."""
    if finding.harmless:
        return f"nothing ({measure(finding.cost)})" if finding.cost else "nothing"
    return measure(finding.cost) or "–"


def card(finding: Finding) -> Iterator[RenderableType]:
    """Yield all details of a finding."""
    yield f"[bold]{escape(finding.id)}[/]  {styled(finding.state)}  {finding.kind}"
    yield escape(finding.summary)
    yield ""
    yield from _facts(finding)
    if finding.evidence:
        yield "\n[bold]evidence[/]"
        yield grid(
            ("test", "statistic", "reference", "current", "adjusted p"),
            [(e.test, e.statistic, e.reference, e.current, e.adjusted_p) for e in finding.evidence],
        )
    if finding.rivals:
        yield "\n[bold]rival explanations[/]"
        yield grid(("explanation", "score", "low", "high"), [(r.name, r.score, r.low, r.high) for r in finding.rivals])
    if finding.rule is not None and finding.state == "open":
        yield "\n[bold]remedy[/], as accepting it would write it to remedies.toml"
        yield from (f"[green]+ {escape(text)}[/]" for text in toml(finding.rule))
        yield f"\nmainstem finding accept {finding.id}"


def _facts(finding: Finding) -> Iterator[str]:
    since, until = finding.window
    facts = {
        "column": f"{finding.node}.{finding.column}",
        "seen on": f"{count(finding.rows)} predictions of {finding.endpoint}, {instant(since)} – {instant(until)}",
        "model": finding.model_version,
        f"cost in {finding.metric}" if finding.metric else "cost": cost(finding),
        "could have seen": "" if finding.detectable is None else f"a cost of {finding.detectable:.3f}",
        "way back": " ← ".join(finding.lineage),
        "promised": _recovery(finding.promised),
        "realised": _recovery(finding.realised),
        "owner": finding.owner or "",
        "reason": finding.reason or "",
        "muted until": instant(finding.muted_until),
    }
    width = max(len(name) for name, text in facts.items() if text)
    return (f"  [dim]{name:<{width}}[/]  {escape(text)}" for name, text in facts.items() if text)


def _recovery(recovery: Recovery | None) -> str:
    if recovery is None:
        return ""
    return f"{recovery.before:.3f} → {recovery.after:.3f}, that is {measure(recovery.recovered)}"


def accepted(remedy: Remedy) -> Iterator[str]:
    """Yield the lines after accepting: what was written, and the next step."""
    yield f"written to remedies.toml, for finding {escape(remedy.finding)}:"
    yield from (f"[green]+ {escape(text)}[/]" for text in toml(remedy.rule))
    yield "[dim]the next `mainstem run` applies it and measures again[/]"


def in_force(remedies: Iterable[Remedy]) -> Iterator[str]:
    """Yield the accepted remedies, one line each."""
    for remedy in remedies:
        rule = remedy.rule
        yield escape(f"in force: {rule.verb.kind} {rule.node}: {rule.verb.describe()} where {rule.where}")


def toml(rule: Rule) -> Iterator[str]:
    """Yield the rule's lines in remedies.toml. JSON texts are valid TOML texts."""
    fields = {"kind": rule.verb.kind, "node": rule.node, **rule.verb.settings, "where": rule.where, "guard": rule.guard}
    yield "[[remedy]]"
    yield from (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items())
