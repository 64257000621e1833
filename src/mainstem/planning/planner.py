"""From the state of a branch and the project's definitions to a plan: a pure function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mainstem.graph.selection import select
from mainstem.nodes.base import Node
from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.features import FeatureView
from mainstem.nodes.models import Model
from mainstem.nodes.records import Release
from mainstem.nodes.sources import Source, Stream
from mainstem.nodes.tables import Table
from mainstem.planning.plan import Plan, Step, StepKind

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


def plan(graph: Graph, situation: Situation, selection: str | None = None) -> Plan:
    """The steps that bring the branch to what `graph` declares, each with its reason. Raises `UnknownName`."""
    return _Planner(graph, situation, select(graph.dag, selection)).plan()


class _Coming(str):
    """A reason that holds only if the steps before bring something new."""


class _Planner:
    def __init__(self, graph: Graph, situation: Situation, chosen: frozenset[str]) -> None:
        self.graph = graph
        self.situation = situation
        self.release = situation.release
        self.chosen = chosen
        self.steps: dict[str, Step] = {}

    def plan(self) -> Plan:
        for definition in self.graph:
            if definition.name in self.chosen:
                for kind, reason in self._changes(definition.name, definition.node):
                    coming = isinstance(reason, _Coming)
                    step = Step(kind, definition.name, str(reason), self._needs(definition.name, kind), coming)
                    self.steps[step.key] = step
        touched = {step.node for step in self.steps.values()}
        unchanged = tuple(n for n in self.graph.dag.order if n in self.chosen - touched)
        return Plan(self.release.branch, tuple(self.steps.values()), unchanged)

    def _changes(self, name: str, node: Node) -> Iterator[tuple[StepKind, str]]:
        match node:
            case Stream():
                kind: StepKind = "drain"
                reason = self._pending(name) or self._declared(name, kind)
            case Source():
                kind, reason = "collect", self._declared(name, "collect") or self._observed(name)
            case Table():
                kind, reason = "build", self._declared(name, "build") or self._inputs(name, "build")
            case FeatureView():
                kind, reason = "materialise", self._view(name)
            case Model():
                kind, reason = "train", self._model(name, node)
            case Endpoint():
                yield from self._endpoint(name, node)
                return
            case _:
                return
        if reason:
            yield kind, reason

    def _declared(self, name: str, kind: StepKind) -> str | None:
        made = self.release.fingerprints.get(name)
        if made is None:
            return {"collect": "never collected", "drain": "never drained", "build": "never built"}[kind]
        return "its definition changed" if made != self.graph[name].made_by else None

    def _observed(self, name: str) -> str | None:
        seen = self.situation.observed.get(name)
        if seen is None:
            return "only reading it tells whether it is new"
        snapshot = self.release.tables[name]
        return "the source has changed" if snapshot.properties.get(OBSERVED) != seen else None

    def _pending(self, name: str) -> str | None:
        count = self.situation.pending.get(name, 0)
        if count < 0:
            return "its log is gone from the online store"
        return f"{count:,} logged, not in the lake yet" if count else None

    def _inputs(self, name: str, kind: StepKind) -> str | None:
        """Which stored inputs will change in this run, or have changed since the step was last done."""
        stored = self.graph.stored_inputs(name)
        coming = [n for n in stored if any(f"{k} {n}" in self.steps for k in ("collect", "drain", "build"))]
        before = self.release.inputs.get(f"{kind} {name}", {})
        since = [n for n in stored if n in self.release.tables and self.release.tables[n].id != before.get(n)]
        changed = f"{', '.join(sorted({*coming, *since}))} changed"
        return changed if since else _Coming(changed) if coming else None

    def _view(self, name: str) -> str | None:
        online = self.release.online.get(name)
        if online is None:
            return "never brought online"
        if self.release.fingerprints.get(name) != self.graph[name].made_by:
            return "its definition, or how its source is read, changed"
        if name in self.situation.gone:
            return "its online state is gone from the store"
        # Live events reach the online state by themselves; but what a run has drained is looked after.
        return self._inputs(name, "materialise")

    def _model(self, name: str, node: Model) -> str | None:
        if name not in self.release.models:
            return "never trained"
        if self.release.fingerprints.get(name) != self.graph[name].made_by:
            return "its definition changed"
        return self._inputs(name, "train") if node.retrain == "data" else None

    def _endpoint(self, name: str, node: Endpoint) -> Iterator[tuple[StepKind, str]]:
        pending = self._pending(name)
        if pending:
            yield "drain", pending
        model = self.graph.name_of(node.model)
        trained = f"train {model}" in self.steps
        if node.promote == "gate" and (trained or self._challenger(name, model)):
            yield "promote", f"{model} has a challenger, and the endpoint promotes by its gate"
        judged = self._judge(name)
        if judged:
            yield "monitor", judged
            yield "attribute", judged

    def _challenger(self, endpoint: str, model: str) -> bool:
        return self.release.models.get(model) != self.release.endpoints.get(endpoint)

    def _judge(self, name: str) -> str | None:
        if self.situation.pending.get(name, 0) > 0 and name in self.release.endpoints:
            return "new predictions"
        if f"predictions.{name}" not in self.release.tables:
            return None
        if name in self.situation.awaiting:
            return "an accepted finding waits to be verified"
        examples = self._inputs(name, "monitor")
        return type(examples)(f"outcomes may have arrived: {examples}") if examples else None

    def _needs(self, name: str, kind: StepKind) -> tuple[str, ...]:
        """The steps whose success this one needs: those upstream and, for an endpoint, its own before it.

        Only serving reads online state, so nothing that is computed from the lake waits for a view to be online.
        """
        upstream = self.graph.dag.upstream(name)
        return tuple(
            key
            for key, step in self.steps.items()
            if step.node == name or (step.node in upstream and step.kind != "materialise")
        )
