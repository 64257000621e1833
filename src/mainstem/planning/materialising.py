"""The plan of bringing views online, and nothing else: a pure function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from mainstem.errors import UnknownName
from mainstem.nodes.definition import Graph
from mainstem.nodes.features import FeatureView
from mainstem.planning.kinds import K, Kinds
from mainstem.planning.outlook import Situation
from mainstem.planning.plan import Plan, Step
from mainstem.planning.planner import plan

STEPS = ("drain", "materialise")


def materialising(
    graph: Graph, situation: Situation, kinds: Kinds[K], views: Sequence[str] = (), *, rebuild: bool = False
) -> Plan:
    """The steps that bring `views` (all of them, if none is named) online as they are declared, or anew (`rebuild`).

    What the logs of their streams have is drained first. Raises `UnknownName` for what is no view.
    """
    known = list(graph.of(FeatureView))
    for name in views:
        if name not in known:
            raise UnknownName.among("feature view", name, known)
    chosen = [name for name in known if name in views or not views]
    if not chosen:
        return Plan(situation.release.branch, ())
    selection = " ".join(dict.fromkeys(needed for name in chosen for needed in (*graph[name].inputs, name)))
    due = [step for step in plan(graph, situation, kinds, selection).steps if step.kind in STEPS]
    steps = list(_anew(chosen, due)) if rebuild else due
    unchanged = tuple(name for name in chosen if f"materialise {name}" not in {step.key for step in steps})
    return Plan(situation.release.branch, tuple(steps), unchanged)


def _anew(chosen: Sequence[str], due: Sequence[Step]) -> Iterator[Step]:
    """Those steps, and one for each view that is to be built whatever its state is."""
    planned = {step.node: step for step in due if step.kind == "materialise"}
    drains = tuple(step for step in due if step.kind == "drain")
    yield from drains
    for name in chosen:
        step = planned.get(name) or Step("materialise", name, "", tuple(drain.key for drain in drains), effect="online")
        yield replace(step, reason="it is to be built anew", if_changed=False)
