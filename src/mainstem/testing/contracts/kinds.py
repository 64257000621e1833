"""The contract of a `NodeKind`: the definition of a type of node, and when it is due. No data is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from mainstem.nodes.base import Node
from mainstem.nodes.definition import Graph
from mainstem.nodes.deliveries import Delivery, Held
from mainstem.nodes.hidden import visible, visible_names
from mainstem.nodes.records import Binding, Release
from mainstem.nodes.sinks import Sink, relations_of
from mainstem.planning.outlook import OBSERVED, Situation
from mainstem.planning.plan import Plan
from mainstem.planning.planner import plan
from mainstem.ports import Snapshot
from mainstem.project.kinds import KINDS, NodeKinds
from mainstem.project.resolve import resolve

NEVER = Release(id="", branch="main", run="")


@dataclass(frozen=True)
class Case:
    """A project with a node `name` of the type. With the nodes `other`, the node has another definition.

    `schemas` are those of the sources that declare none.
    """

    name: str
    nodes: Mapping[str, Node]
    other: Mapping[str, Node]
    schemas: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    kinds: NodeKinds = KINDS

    @cached_property
    def graph(self) -> Graph:
        """The project, resolved."""
        return self.resolved({})

    def resolved(self, changes: Mapping[str, Node]) -> Graph:
        """Return the project, resolved with some nodes replaced."""
        aliases = {node: name for name, node in self.nodes.items()}
        return resolve({**self.nodes, **changes}, self.schemas, aliases=aliases, kinds=self.kinds)

    def settled(self) -> Situation:
        """Return a branch in which everything is as the project declares it."""
        stored = {d.name: _snapshot(d.name) for d in self.graph if d.read is not None}
        version = dict.fromkeys(self.nodes, "v1")
        steps = plan(self.graph, Situation(NEVER), self.kinds).steps
        release = Release(
            "rel",
            "main",
            "run",
            tables=stored,
            models=version,
            endpoints=dict.fromkeys(self.nodes, Binding("v1")),
            online=version,
            fingerprints={definition.name: definition.made_by for definition in self.graph},
            inputs={step.key: dict.fromkeys(self.graph.stored_inputs(step.node), 1) for step in steps},
        )
        sent = {name: self._sent(name) for name in self.graph.of(Sink)}
        return Situation(release, observed=dict.fromkeys(self.nodes, "seen"), delivered=sent)

    def _sent(self, sink: str) -> Delivery:
        snapshots = {name: _snapshot(name) for name in relations_of(self.graph, sink)}
        return Delivery(sink, sink, Held(snapshots, self.graph[sink].fingerprint))

    def plan(self, graph: Graph, situation: Situation) -> Plan:
        """Return the steps that bring the branch to the state that the graph declares."""
        return plan(graph, situation, self.kinds)


def _snapshot(table: str) -> Snapshot:
    return Snapshot(table, table, 1, "", 1, "run", (), properties={OBSERVED: "seen"})


class NodeKindContract:
    """Define the fixture `case`: a `Case` for the type of node."""

    def test_the_definition_is_of_the_node(self, case: Case) -> None:
        definition = case.graph[case.name]
        assert (definition.name, definition.node) == (case.name, case.nodes[case.name])
        assert definition.inputs == case.graph.dag.needs[case.name]
        assert definition.read_fingerprint

    def test_a_relation_says_of_each_column_when_it_is_known_and_where_it_is_from(self, case: Case) -> None:
        definition = case.graph[case.name]
        if definition.read is not None:
            columns = set(visible(definition.schema or {}))
            assert set(visible_names(definition.read.columns)) == columns
            assert set(definition.known) == set(definition.columns) == columns

    def test_words_are_no_meaning(self, case: Case) -> None:
        node = replace(case.nodes[case.name], description="other words", owner="somebody else")
        assert _fingerprints(case.resolved({case.name: node})) == _fingerprints(case.graph)

    def test_another_meaning_is_another_fingerprint(self, case: Case) -> None:
        assert case.resolved(case.other)[case.name].fingerprint != case.graph[case.name].fingerprint

    def test_nothing_is_due_where_all_is_as_declared(self, case: Case) -> None:
        assert not case.plan(case.graph, case.settled())

    def test_another_meaning_is_due(self, case: Case) -> None:
        due = [step for step in case.plan(case.resolved(case.other), case.settled()).steps if step.node == case.name]
        assert due and all(step.reason for step in due)

    def test_planning_changes_nothing(self, case: Case) -> None:
        assert case.plan(case.graph, Situation(NEVER)) == case.plan(case.graph, Situation(NEVER))


def _fingerprints(graph: Graph) -> dict[str, tuple[str, str, str]]:
    return {d.name: (d.fingerprint, d.read_fingerprint, d.declared_fingerprint) for d in graph}
