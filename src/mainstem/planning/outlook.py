"""The inputs of a plan, and the questions that a node's kind can ask while the plan is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mainstem.nodes.definition import Graph
from mainstem.nodes.records import Release
from mainstem.nodes.tables import Table
from mainstem.planning.plan import Step, StepKind

OBSERVED = "mainstem.observed"
"""The snapshot property that holds how a source looked when it was collected."""


@dataclass(frozen=True)
class Situation:
    """The inputs of a plan other than the definitions.

    `observed` maps a source to a text that changes if it may have new data (None: only a read can tell). `pending`
    counts logged events or predictions that are not in the lake; it is negative if the log was lost. `gone` are the
    views whose online state is missing in the store. `awaiting` are the endpoints with an accepted finding to verify.
    `damaged` maps the id of a snapshot to its damaged file. With `refresh` every table is to be built again.
    """

    release: Release
    observed: Mapping[str, str | None] = field(default_factory=dict)
    pending: Mapping[str, int] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    awaiting: frozenset[str] = frozenset()
    damaged: Mapping[int, str] = field(default_factory=dict)
    refresh: bool = False


@dataclass(frozen=True)
class Reason:
    """Why a step is due. With `if_changed` it is due only if earlier steps change its inputs."""

    text: str
    if_changed: bool = False


@dataclass(frozen=True)
class Outlook:
    """The definitions, the situation of the branch, and the `steps` that are planned so far, by key."""

    graph: Graph
    situation: Situation
    steps: Mapping[str, Step]

    @property
    def release(self) -> Release:
        """The release that the branch publishes."""
        return self.situation.release

    def redefined(self, name: str) -> bool:
        """Return whether a node was made by another definition than its present one, or never."""
        return self.release.fingerprints.get(name) != self.graph[name].made_by

    def unmade(self, name: str, never: str) -> Reason | None:
        """Return why a node is not as declared: `never` made, damaged since, or made by another definition. None if it
        is as declared."""
        if name not in self.release.fingerprints:
            return Reason(never)
        held = self.release.tables.get(name)
        if held is not None and held.id in self.situation.damaged:
            return Reason("a stored file is damaged")
        if self.situation.refresh and isinstance(self.graph[name].node, Table):
            return Reason("a full refresh")
        return Reason("its definition changed") if self.redefined(name) else None

    def pending(self, name: str) -> Reason | None:
        """Return how much of the node's log is not in the lake yet. None if there is nothing."""
        count = self.situation.pending.get(name, 0)
        if count < 0:
            return Reason("its log is gone from the online store")
        return Reason(f"{count:,} logged, not in the lake yet") if count else None

    def inputs(self, name: str, kind: StepKind) -> Reason | None:
        """Return which stored inputs will change in this run, or have changed since the step last ran."""
        stored = self.graph.stored_inputs(name)
        coming = stored & {step.node for step in self.steps.values() if step.effect == "data"}
        before = self.release.inputs.get(f"{kind} {name}", {})
        since = {n for n in stored & self.release.tables.keys() if self.release.tables[n].id != before.get(n)}
        changed = f"{', '.join(sorted(coming | since))} changed"
        return Reason(changed, if_changed=not since) if coming or since else None
