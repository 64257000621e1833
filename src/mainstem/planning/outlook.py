"""The inputs of a plan, and the questions that a node's kind can ask while the plan is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.deliveries import Delivery
from mainstem.nodes.records import Release, Sample
from mainstem.nodes.sources import Source
from mainstem.nodes.spans import Span
from mainstem.nodes.tables import Table
from mainstem.nodes.written import Written
from mainstem.planning.causes import Cause, causes, worded
from mainstem.planning.plan import Step, StepKind

UNTOLD = "only a read can tell whether it has new data"
"""The reason of a step that reads a source which does not tell whether it has changed."""

OBSERVED = "mainstem.observed"
"""The snapshot property that holds how a source looked when it was collected."""


@dataclass(frozen=True)
class Situation:
    """The inputs of a plan other than the definitions.

    `observed` maps a source to a text that changes if it may have new data (None: only a read can tell). `pending`
    counts logged events or predictions that are not in the lake; it is negative if the log was lost. `gone` are the
    views whose online state is missing in the store. `awaiting` are the endpoints with an accepted finding to verify,
    `maturing` those with predictions whose outcomes were too young when they were last judged, and no longer are.
    `damaged` maps the id of a snapshot to its damaged file. With `refresh` every table is to be built again and every
    source with a cursor to be read again, and with `between` the intervals of incremental tables and the rows of
    sources in that span. `written` gives the definition of a node that had a fingerprint; None if it was not kept.
    `sample` is what the branch is to work on. `reingest` are the sources whose rows that were set aside are to be taken
    in again. `delivered` are the last deliveries of sinks by name; None on a branch that delivers nothing.
    """

    release: Release
    observed: Mapping[str, str | None] = field(default_factory=dict)
    pending: Mapping[str, int] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    awaiting: frozenset[str] = frozenset()
    maturing: frozenset[str] = frozenset()
    damaged: Mapping[int, str] = field(default_factory=dict)
    refresh: bool = False
    written: Callable[[str, str], Written | None] = lambda name, made_by: None
    sample: Sample | None = None
    between: Span | None = None
    reingest: frozenset[str] = frozenset()
    delivered: Mapping[str, Delivery] | None = None


def is_by_time(definition: Definition) -> bool:
    """Return whether a node can be made again for a span of time: an incremental table, or a source with a key whose
    cursor is an instant or a date."""
    column = getattr(definition.node, "intervals", None)
    return column is not None and (definition.schema or {}).get(column, "").startswith(("timestamp", "date"))


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
        if self.situation.refresh and self._is_refreshed(name):
            return Reason("a full refresh")
        if self.redefined(name):
            return Reason(self.redefinition(name))
        return Reason("a backfill") if self.situation.between and is_by_time(self.graph[name]) else None

    def _is_refreshed(self, name: str) -> bool:
        """Return whether a full refresh makes a node again: tables, and sources that keep how far they were read."""
        node = self.graph[name].node
        return isinstance(node, Table) or (isinstance(node, Source) and node.refreshes)

    def redefinition(self, name: str) -> str:
        """Return why a node's fingerprint changed: its own definition, or those of nodes that it depends on."""
        return worded(name, self.causes(name))

    def causes(self, name: str) -> tuple[Cause, ...]:
        """Return which definitions changed since a node was made: of the node itself, or of nodes upstream."""
        before = self.situation.written(name, self.release.fingerprints.get(name, ""))
        return causes(self.graph, name, before, self.situation.written)

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
        if not coming and not since:
            return None
        may = not since and not any(self._surely(n) for n in coming)
        names = sorted(coming | since)
        has = f"{'may have' if may else 'have' if len(names) > 1 else 'has'} new data"
        return Reason(f"input{'s' if len(names) > 1 else ''} {', '.join(names)} {has}", if_changed=not since)

    def _surely(self, name: str) -> bool:
        """Return whether a step of this run will change a node's data, as far as one can tell before it runs."""
        steps = [step for step in self.steps.values() if step.node == name and step.effect == "data"]
        return any(not step.if_changed and step.reason != UNTOLD for step in steps)
