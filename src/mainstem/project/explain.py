"""What changed since a branch was published: the text of each changed definition, and what it reaches."""

from __future__ import annotations

import difflib

from mainstem.nodes.changes import Changed
from mainstem.nodes.definition import Graph
from mainstem.nodes.written import Written, text_of
from mainstem.planning.causes import Cause, causes
from mainstem.planning.outlook import Situation
from mainstem.planning.plan import Plan
from mainstem.project.kinds import KINDS
from mainstem.project.reach import reach
from mainstem.project.written import meaning

CONTEXT = 2
"""Lines of a diff around each change."""


def changed(graph: Graph, seen: Situation, plan: Plan) -> tuple[Changed, ...]:
    """Return the changed definitions that steps of a plan are due to, in dependency order."""
    release, kept = seen.release, seen.written
    found: dict[str, Cause] = {}
    for name in dict.fromkeys(step.node for step in plan.steps if step.node in graph):
        made_by = release.fingerprints.get(name, "")
        if made_by not in ("", graph[name].made_by):
            found |= {cause.node: cause for cause in causes(graph, name, kept(name, made_by), kept)}
    in_order = (name for name in graph.dag.order if name in found)
    return tuple(_changed(graph, found[name], kept(name, release.fingerprints.get(name, ""))) for name in in_order)


def _changed(graph: Graph, cause: Cause, before: Written | None) -> Changed:
    name = cause.node
    definition = graph[name]
    kind = KINDS.of(definition.node).word(definition.node)
    where = str(definition.node.origin)
    if before is None or cause.what != "definition":
        note = "" if cause.what == "reading" else "its text was not kept: an earlier version of Mainstem made it"
        reaches = reach(graph, name, (), rows=True)
        return Changed(name, kind, cause.what, where, note=note, reaches=reaches)
    diff = _diff(name, before.text, text_of(definition))
    note = "" if diff else "its text is the same; a function, a constant or a file that it uses changed"
    now = meaning(graph, definition)
    columns = tuple(sorted(c for c in {*before.columns, *now.columns} if before.columns.get(c) != now.columns.get(c)))
    rows = before.rows != now.rows or not now.columns
    return Changed(name, kind, cause.what, where, diff, note, columns, rows, reach(graph, name, columns, rows=rows))


def _diff(name: str, before: str, now: str) -> tuple[str, ...]:
    lines = difflib.unified_diff(
        before.splitlines(), now.splitlines(), f"{name}, as published", f"{name}, as declared", lineterm="", n=CONTEXT
    )
    return tuple(lines)
