"""Keep the definitions of nodes with the release that they made, for later plans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

from mainstem.graph.columns import Marks, hashed
from mainstem.graph.fingerprint import digest
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.features import FeatureView
from mainstem.nodes.tables import Table
from mainstem.nodes.written import Input, Written, text_of, written_id
from mainstem.ports import State


def notes(graph: Graph, name: str) -> tuple[Written, ...]:
    """Return the definitions of a node and of its inputs as records."""
    return tuple(_written(graph, graph[each]) for each in (name, *graph[name].inputs))


def kept_in(state: State) -> Callable[[str, str], Written | None]:
    """Return how to read the definition that a node had with a fingerprint."""
    return lambda name, made_by: state.get(Written, written_id(name, made_by)) if made_by else None


def meaning(graph: Graph, definition: Definition) -> Marks[str]:
    """Return hashes of what decides which rows a node has, and of each of its columns."""
    if definition not in _MEANINGS:  # a run asks for each table, and again for the inputs of each
        _MEANINGS[definition] = _meaning(graph, definition)
    return _MEANINGS[definition]


_MEANINGS: WeakKeyDictionary[Definition, Marks[str]] = WeakKeyDictionary()


def _meaning(graph: Graph, definition: Definition) -> Marks[str]:
    match definition.node:
        case Table() if definition.build is not None:
            from mainstem.tables.marks import marks_of

            return marks_of(definition, _leaf, hashed)
        case FeatureView():
            from mainstem.features.retrieval import compiled

            view = compiled(graph, definition.name)
            return Marks("", {feature.name: view.meaning(feature) for feature in view.features})
    return Marks("", {})


def _leaf(name: str, columns: Sequence[str]) -> Marks[str]:
    return Marks(digest(name), {column: digest(name, column) for column in columns})


def _written(graph: Graph, definition: Definition) -> Written:
    found = meaning(graph, definition)
    inputs = {each: _input(graph[each]) for each in definition.inputs}
    id = written_id(definition.name, definition.made_by)
    return Written(id, definition.name, definition.own, text_of(definition), inputs, found.rows, found.columns)


def _input(definition: Definition) -> Input:
    return Input(definition.own, definition.read_fingerprint, definition.made_by)
