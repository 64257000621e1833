"""Make a plan from the state of a branch and the project's definitions: a pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter

from mainstem.graph.selection import select
from mainstem.nodes.checks import ForeignKey
from mainstem.nodes.definition import Graph
from mainstem.planning.kinds import Due, K, Kinds
from mainstem.planning.outlook import Outlook, Situation
from mainstem.planning.plan import Plan, Step


def plan(graph: Graph, situation: Situation, kinds: Kinds[K], selection: str | None = None) -> Plan:
    """Return the steps that bring the branch to the state that `graph` declares, each with its reason.

    `kinds` decide for each type of node when it is due. Raises `UnknownName`.
    """
    chosen = select(graph.dag, selection)
    steps: dict[str, Step] = {}
    by_node: dict[str, list[tuple[int, Step]]] = {}
    outlook = Outlook(graph, situation, steps)
    for definition in graph:
        if definition.name in chosen:
            for due in kinds.of(definition.node).due(definition.name, definition.node, outlook):
                step = _step(due, definition.name, graph, by_node)
                by_node.setdefault(step.node, []).append((len(steps), step))
                steps[step.key] = step
    unchanged = tuple(name for name in graph.dag.order if name in chosen and name not in by_node)
    return Plan(situation.release.branch, tuple(steps.values()), unchanged)


def _step(due: Due, name: str, graph: Graph, before: Mapping[str, Sequence[tuple[int, Step]]]) -> Step:
    needs = _needs(name, graph, before)
    return Step(due.kind, name, due.reason.text, needs, due.reason.if_changed, due.effect, details=due.details)


def _needs(name: str, graph: Graph, before: Mapping[str, Sequence[tuple[int, Step]]]) -> tuple[str, ...]:
    """Return the steps that must succeed before this one: upstream steps, and earlier steps of its own node. `before`
    has the numbered steps of each node so far.

    Only serving reads online state, so steps that read the lake do not wait for views. A foreign key is checked against
    rows that this run has collected.
    """
    checks = getattr(graph[name].node, "checks", ())
    compared = {graph.name_of(check.to) for check in checks if isinstance(check, ForeignKey)}
    upstream = graph.dag.upstream(name) | compared
    needed = [each for node in {name, *upstream} for each in before.get(node, ())]
    return tuple(step.key for _, step in sorted(needed, key=itemgetter(0)) if _is_needed(step, name))


def _is_needed(step: Step, name: str) -> bool:
    return step.node == name or step.effect != "online"
