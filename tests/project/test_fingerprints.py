"""Fingerprints stay what they were: a change of one rebuilds, retrains and redeploys every user's project."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from every_kind import SCHEMAS, project
from mainstem.nodes.definition import Graph
from mainstem.nodes.findings import Rule
from mainstem.nodes.verbs import Rescale
from mainstem.project.resolve import resolve

RULE = Rule("flights", Rescale("delay", 1 / 60), "departed_at >= TIMESTAMPTZ '2013-12-01'", "delay < 3000")

RECORDED: dict[str, tuple[str, str]] = {
    "airlines": ("7ee55b49a9b2", "1bd193007981"),
    "airport": ("1ce228b40f83", "1f8a26393b03"),
    "arrivals": ("835d5fa5381d", "835d5fa5381d"),
    "crm": ("b52d8c51dd7a", "b52d8c51dd7a"),
    "days": ("423e48588c13", "423e48588c13"),
    "departures": ("cd956a97e175", "25b24df529d6"),
    "flights": ("b8391dce1cd3", "8a147ec9518d"),
    "late": ("1e6cec812dd1", "1e6cec812dd1"),
    "later": ("f3a627a5ab9e", "f3a627a5ab9e"),
    "leg": ("48f404a5edd2", "e2f76442918d"),
    "legs": ("da53b6d41aed", "da53b6d41aed"),
    "order": ("b260842d6b86", "054d16b14e58"),
    "orders": ("4b786e12cd73", "398026ca914e"),
    "past": ("7ff63d1ec3e7", "7ff63d1ec3e7"),
    "planes": ("fa3e09c7797f", "bd55f7ea8770"),
    "scored": ("40508d05d923", "40508d05d923"),
    "weather": ("9b9f645e3336", "4b382706b831"),
}
"""Of each node `fingerprint` and `read_fingerprint`."""

REMEDIED: dict[str, tuple[str, str]] = {
    "airport": ("1ce228b40f83", "c23f7f57a5ca"),
    "days": ("fe4096730a94", "fe4096730a94"),
    "departures": ("cd956a97e175", "e1d02446f431"),
    "flights": ("b8391dce1cd3", "c31c57a8bee1"),
    "leg": ("48f404a5edd2", "c79cbd0cd487"),
    "legs": ("e6c32a9b6cca", "e6c32a9b6cca"),
    "past": ("c9b3af5dd3d2", "c9b3af5dd3d2"),
    "scored": ("1e3df315016a", "1e3df315016a"),
}
"""The same of the nodes that a remedy of `flights` changes."""


@pytest.fixture(scope="module")
def graphs() -> tuple[Graph, Graph]:
    """The project, and the same with a remedy; the cutover changes nothing."""
    nodes, cutovers = project(), {"departures": datetime(2013, 12, 1, tzinfo=UTC)}
    return resolve(nodes, SCHEMAS), resolve(nodes, SCHEMAS, rules=[RULE], cutovers=cutovers)


def prints(graph: Graph) -> dict[str, tuple[str, str]]:
    return {definition.name: (definition.fingerprint, definition.read_fingerprint) for definition in graph}


def test_fingerprints_of_every_kind_of_node_are_those_recorded(graphs: tuple[Graph, Graph]) -> None:
    assert prints(graphs[0]) == RECORDED


def test_a_run_remembers_of_a_view_how_it_was_read(
    graphs: tuple[Graph, Graph],
) -> None:
    views = {"airport", "leg", "order"}
    made = {definition.name: definition.made_by for definition in graphs[0]}
    assert made == {name: recorded[name in views] for name, recorded in RECORDED.items()}


def test_a_remedy_changes_the_recorded_fingerprints_below_it(graphs: tuple[Graph, Graph]) -> None:
    assert prints(graphs[1]) == RECORDED | REMEDIED
