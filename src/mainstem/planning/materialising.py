"""The plan that brings views online, and no other step: a pure function."""

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
    """Return the steps that bring `views` (all if empty) online as declared. `rebuild` builds every one again.

    The logs of their streams are drained first. Raises `UnknownName` for a node that is not a view.
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
    """Yield the due steps, and a step for each other view that is built in any case."""
    planned = {step.node: step for step in due if step.kind == "materialise"}
    drains = tuple(step for step in due if step.kind == "drain")
    yield from drains
    for name in chosen:
        step = planned.get(name) or Step("materialise", name, "", tuple(drain.key for drain in drains), effect="online")
        yield replace(step, reason="a rebuild was requested", if_changed=False)
