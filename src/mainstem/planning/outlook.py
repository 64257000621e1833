"""What a plan depends on, and what a node's kind can ask of it while the plan is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mainstem.nodes.definition import Graph
from mainstem.nodes.records import Release
from mainstem.planning.plan import Step, StepKind

OBSERVED = "mainstem.observed"
"""The snapshot property that keeps what a source looked like when it was collected."""


@dataclass(frozen=True)
class Situation:
    """What a plan depends on beside the definitions.

    `observed` maps a source to a text that changes when it may have new data (None: it cannot be told without reading
    it); `pending` counts logged events or predictions that the lake does not have, less than none if the log was lost;
    `gone` are the views whose online state is not in the store any more; `awaiting` are the endpoints with an accepted
    finding that waits to be verified.
    """

    release: Release
    observed: Mapping[str, str | None] = field(default_factory=dict)
    pending: Mapping[str, int] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    awaiting: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Reason:
    """Why a step is due. With `if_changed` it holds only if the steps before bring something new."""

    text: str
    if_changed: bool = False


@dataclass(frozen=True)
class Outlook:
    """The definitions, the situation of the branch, and the `steps` planned so far by key: those of all inputs."""

    graph: Graph
    situation: Situation
    steps: Mapping[str, Step]

    @property
    def release(self) -> Release:
        """What the branch publishes."""
        return self.situation.release

    def redefined(self, name: str) -> bool:
        """Whether a node was made by another definition than it has now, or never."""
        return self.release.fingerprints.get(name) != self.graph[name].made_by

    def unmade(self, name: str, never: str) -> Reason | None:
        """Why a node is not as declared: it was made `never`, or by another definition. None if it is."""
        if name not in self.release.fingerprints:
            return Reason(never)
        return Reason("its definition changed") if self.redefined(name) else None

    def pending(self, name: str) -> Reason | None:
        """How much the node's log has that the lake does not have. None if it has nothing."""
        count = self.situation.pending.get(name, 0)
        if count < 0:
            return Reason("its log is gone from the online store")
        return Reason(f"{count:,} logged, not in the lake yet") if count else None

    def inputs(self, name: str, kind: StepKind) -> Reason | None:
        """Which stored inputs will change in this run, or have changed since the step was last done."""
        stored = self.graph.stored_inputs(name)
        coming = stored & {step.node for step in self.steps.values() if step.effect == "data"}
        before = self.release.inputs.get(f"{kind} {name}", {})
        since = {n for n in stored & self.release.tables.keys() if self.release.tables[n].id != before.get(n)}
        changed = f"{', '.join(sorted(coming | since))} changed"
        return Reason(changed, if_changed=not since) if coming or since else None
