"""From the state of a branch and the project's definitions to a plan: a pure function."""

from __future__ import annotations

from collections.abc import Mapping

from mainstem.graph.selection import select
from mainstem.nodes.definition import Graph
from mainstem.planning.kinds import Due, K, Kinds
from mainstem.planning.outlook import Outlook, Situation
from mainstem.planning.plan import Plan, Step


def plan(graph: Graph, situation: Situation, kinds: Kinds[K], selection: str | None = None) -> Plan:
    """The steps that bring the branch to what `graph` declares, each with its reason. Raises `UnknownName`.

    `kinds` say of each type of node when it is due.
    """
    chosen = select(graph.dag, selection)
    steps: dict[str, Step] = {}
    outlook = Outlook(graph, situation, steps)
    for definition in graph:
        if definition.name in chosen:
            for due in kinds.of(definition.node).due(definition.name, definition.node, outlook):
                step = _step(due, definition.name, graph, steps)
                steps[step.key] = step
    touched = {step.node for step in steps.values()}
    unchanged = tuple(name for name in graph.dag.order if name in chosen - touched)
    return Plan(situation.release.branch, tuple(steps.values()), unchanged)


def _step(due: Due, name: str, graph: Graph, before: Mapping[str, Step]) -> Step:
    needs = _needs(name, graph, before)
    return Step(due.kind, name, due.reason.text, needs, due.reason.if_changed, due.effect)


def _needs(name: str, graph: Graph, before: Mapping[str, Step]) -> tuple[str, ...]:
    """The steps whose success this one needs: those upstream, and those of its own node before it.

    Only serving reads online state, so nothing that is computed from the lake waits for a view to be online.
    """
    upstream = graph.dag.upstream(name)
    own_or_upstream = (
        key for key, step in before.items() if step.node == name or (step.node in upstream and step.effect != "online")
    )
    return tuple(own_or_upstream)
