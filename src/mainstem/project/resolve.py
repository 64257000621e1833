"""Resolve declarations to a `Graph`: bind names, type expressions, and derive availability and fingerprints.

No data is read. Three fingerprints are distinct. A relation's `fingerprint` identifies how its stored rows were made,
so it changes with the reads of its inputs. Its `read_fingerprint` also includes what is applied on reading: a remedy, a
history. The declared fingerprint of models includes neither, because a correction of a source's data is not a new
definition of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstem.errors import CycleError, DefinitionError
from mainstem.graph.dag import Dag
from mainstem.nodes.base import Node
from mainstem.nodes.definition import Evolved, Graph
from mainstem.nodes.findings import Rule
from mainstem.nodes.hidden import RESERVED
from mainstem.project.kinds import KINDS, NodeKinds
from mainstem.project.kinds.base import NodeKind
from mainstem.project.kinds.remedies import check_rules
from mainstem.project.kinds.scope import Schemas, Scope

if TYPE_CHECKING:
    from mainstem.tables.fitting import Fitted
    from mainstem.tables.memory import Memory


def resolve(
    nodes: Mapping[str, Node],
    schemas: Schemas,
    *,
    rules: Sequence[Rule] = (),
    cutovers: Mapping[str, datetime] | None = None,
    aliases: Mapping[Node, str] | None = None,
    memory: Memory | None = None,
    kinds: NodeKinds = KINDS,
    recomputed: Collection[str] = (),
    statistics: Callable[[str], Mapping[str, Fitted]] = lambda table: {},
    evolved: Mapping[str, Evolved] | None = None,
    lenient: bool = False,
) -> Graph:
    """Resolve declarations, given the locked schemas of the sources that declare none.

    `rules` are the remedies in force, `cutovers` the instants from which streams' events count, `aliases` the names of
    nodes that others stand in for, `memory` what is remembered of SQL tables, `kinds` what each type of node is.
    A table over any of `recomputed` is read as its definition computes it, not as it is stored: so a replay sees what
    a remedy would change in it; `statistics` gives those that its verbs are fitted to. `evolved` are the columns in
    `schemas` that runs added or widened. With `lenient` an error of a
    view, a model or an endpoint leaves out only what depends on it: the graph has it in `broken`.
    Raises `DefinitionError` and its kinds, each naming the node and its line.
    """
    _check_names(nodes)
    check_rules(rules, nodes)
    names = {**(aliases or {}), **{node: name for name, node in nodes.items()}}
    scope = Scope(nodes, names, schemas, rules, cutovers or {}, memory, set(recomputed), statistics, evolved or {})
    broken: dict[str, DefinitionError] = {}

    def spare(name: str, problem: DefinitionError) -> None:
        if not lenient or kinds.of(nodes[name]).is_data:
            raise problem
        broken[name] = problem

    inputs: dict[str, tuple[str, ...]] = {}
    for name, node in nodes.items():
        try:
            inputs[name] = _inputs(name, node, scope, kinds)
        except DefinitionError as problem:
            spare(name, problem)
            inputs[name] = ()
    dag = _dag(inputs, nodes)
    for name in dag.order:
        cause = next((each for each in (name, *inputs[name]) if each in broken), None)
        try:
            if cause is not None:
                raise broken[cause]
            scope.done[name] = kinds.of(nodes[name]).define(name, nodes[name], inputs[name], scope)
        except DefinitionError as problem:
            spare(name, problem.at(f"{name} ({nodes[name].origin})"))
    graph = Graph(scope.done, dag, names).without(broken)
    for kind in dict.fromkeys(kinds.of(node) for node in nodes.values()):
        graph = _checked(graph, kind, lenient)
    return graph


def _checked(graph: Graph, kind: NodeKind[Any], lenient: bool) -> Graph:
    """Return the graph without the nodes of a kind that are invalid in the whole project."""
    try:
        kind.check(graph)
    except DefinitionError:
        found = _broken(graph, kind) if lenient and not kind.is_data else {}
        if not found:
            raise
        return graph.without(found)
    return graph


def _broken(graph: Graph, kind: NodeKind[Any]) -> dict[str, DefinitionError]:
    """Return the nodes of a kind that are invalid alone, with their errors."""
    found: dict[str, DefinitionError] = {}
    own = set(graph.of(kind.node_type))
    for name in own:
        others = {each: DefinitionError("left out") for each in own if each != name}
        try:
            kind.check(graph.without(others))
        except DefinitionError as problem:
            found[name] = problem
    return found


def _check_names(nodes: Mapping[str, Node]) -> None:
    """Refuse the names of relations that Mainstem itself stores: a node of that name would replace them."""
    for name, node in nodes.items():
        prefix = next((each for each in RESERVED if name.lower().startswith(each)), None)
        if prefix is not None:
            raise DefinitionError(
                f"the name {name!r} is reserved",
                where=str(node.origin),
                got=name,
                expected=f"a name that does not begin with {prefix}",
                hint=f"rename it; Mainstem keeps the relations {prefix}NAME itself",
            )


def _inputs(name: str, node: Node, scope: Scope, kinds: NodeKinds) -> tuple[str, ...]:
    where = f"{name} ({node.origin})"
    try:
        references = kinds.of(node).references(node, scope.memory)
    except DefinitionError as problem:
        raise problem.at(where) from None
    return tuple(dict.fromkeys(scope.name_of(reference, where) for reference in references))


def _dag(inputs: Mapping[str, Sequence[str]], nodes: Mapping[str, Node]) -> Dag:
    try:
        return Dag(inputs)
    except CycleError as problem:
        raise problem.at("; ".join(f"{name} ({nodes[name].origin})" for name in problem.names)) from None
