"""Resolve declarations to a `Graph`: bind names, type expressions, and derive availability and fingerprints.

No data is read. Three fingerprints are distinct. A relation's `fingerprint` identifies how its stored rows were made,
so it changes with the reads of its inputs. Its `read_fingerprint` also includes what is applied on reading: a remedy, a
history. The declared fingerprint of models includes neither, because a correction of a source's data is not a new
definition of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mainstem.errors import CycleError, DefinitionError
from mainstem.graph.dag import Dag
from mainstem.nodes.base import Node
from mainstem.nodes.definition import Graph
from mainstem.nodes.findings import Rule
from mainstem.nodes.hidden import RESERVED
from mainstem.project.kinds import KINDS, NodeKinds
from mainstem.project.kinds.remedies import check_rules
from mainstem.project.kinds.scope import Schemas, Scope

if TYPE_CHECKING:
    from mainstem.tables.fitting import Fitted
    from mainstem.tables.types import Types


def resolve(
    nodes: Mapping[str, Node],
    schemas: Schemas,
    *,
    rules: Sequence[Rule] = (),
    cutovers: Mapping[str, datetime] | None = None,
    aliases: Mapping[Node, str] | None = None,
    types: Types | None = None,
    kinds: NodeKinds = KINDS,
    recomputed: Collection[str] = (),
    statistics: Callable[[str], Mapping[str, Fitted]] = lambda table: {},
) -> Graph:
    """Resolve declarations, given the locked schemas of the sources that declare none.

    `rules` are the remedies in force, `cutovers` the instants from which streams' events count, `aliases` the names of
    nodes that others stand in for, `types` what is remembered of the types of SQL, `kinds` what each type of node is.
    A table over any of `recomputed` is read as its definition computes it, not as it is stored: so a replay sees what
    a remedy would change in it; `statistics` gives those that its verbs are fitted to.
    Raises `DefinitionError` and its kinds, each naming the node and its line.
    """
    _check_names(nodes)
    check_rules(rules, nodes)
    names = {**(aliases or {}), **{node: name for name, node in nodes.items()}}
    scope = Scope(nodes, names, schemas, rules, cutovers or {}, types, set(recomputed), statistics)
    inputs = {name: _inputs(name, node, scope, kinds) for name, node in nodes.items()}
    dag = _dag(inputs, nodes)
    for name in dag.order:
        node = nodes[name]
        try:
            scope.done[name] = kinds.of(node).define(name, node, inputs[name], scope)
        except DefinitionError as problem:
            raise problem.at(f"{name} ({node.origin})") from None
    graph = Graph(scope.done, dag, names)
    for kind in dict.fromkeys(kinds.of(node) for node in nodes.values()):
        kind.check(graph)
    return graph


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
        references = kinds.of(node).references(node)
    except DefinitionError as problem:
        raise problem.at(where) from None
    return tuple(dict.fromkeys(scope.name_of(reference, where) for reference in references))


def _dag(inputs: Mapping[str, Sequence[str]], nodes: Mapping[str, Node]) -> Dag:
    try:
        return Dag(inputs)
    except CycleError as problem:
        raise problem.at("; ".join(f"{name} ({nodes[name].origin})" for name in problem.names)) from None
