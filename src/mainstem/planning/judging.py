"""The part of a plan that is still executed when a run has failed: the judging of live endpoints.

A refused source must not hide what the live model does meanwhile. So the other sources of an endpoint's outcomes are
still collected, and its monitors run. All other nodes stay as they were published.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.planning.plan import Plan, Step

JUDGE = ("monitor", "attribute")


def judging(plan: Plan, graph: Graph, failed: Collection[str], live: Collection[str]) -> Plan:
    """Return the steps of `plan` that judge `live` endpoints, with the data steps that their outcomes come from.

    Nodes that `failed`, and those downstream of them, stay as they are published. Empty if nothing is to be judged.
    """
    lost = {*failed, *graph.dag.downstream(*failed)}
    endpoints = [
        step.node for step in plan.steps if step.kind in JUDGE and step.node in live and step.node not in failed
    ]
    needed = {name for endpoint in endpoints for name in _outcomes(graph, endpoint)} - lost

    def kept(step: Step) -> bool:
        if step.node in endpoints:
            return step.kind in JUDGE or step.effect == "data"
        return step.effect == "data" and step.node in needed

    steps = tuple(filter(kept, plan.steps))
    idle = all(step.kind in JUDGE and step.if_changed for step in steps)
    return replace(plan, steps=() if idle or not endpoints else steps)


def _outcomes(graph: Graph, endpoint: str) -> Collection[str]:
    node = graph[endpoint].node
    assert isinstance(node, Endpoint)
    examples = graph.name_of(node.model.examples)
    return {examples, *graph.dag.upstream(examples)}
