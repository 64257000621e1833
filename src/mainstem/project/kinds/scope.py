"""The scope of a definition: the declarations, what is in force, and the definitions of inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstem.errors import DefinitionError, UnknownName
from mainstem.graph.traces import Trace
from mainstem.nodes.base import Node, shown
from mainstem.nodes.definition import Definition, Evolved
from mainstem.nodes.findings import Rule
from mainstem.nodes.hidden import visible
from mainstem.project.kinds.relations import unbound
from mainstem.tables.memory import Memory, key_of

if TYPE_CHECKING:
    import ibis

    from mainstem.features.views.view import CompiledView
    from mainstem.tables.fitting import Fitted

Schemas = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Scope:
    """A project while it is resolved.

    `names` knows every node, stand-ins' originals too; `rules` are the remedies in force, `cutovers` the instants from
    which streams' events count, `memory` what is remembered of SQL tables. `recomputed` names relations that are
    read otherwise than when the tables over them were built: such a table is read as it would be built now.
    `statistics` gives those that a table's verbs are fitted to, by the definition of the verb. `evolved` are the
    columns of sources that runs added or widened; `schemas` has them.
    `done`, `seen` and `views` grow: they have the definitions before this one, in dependency order.
    """

    nodes: Mapping[str, Node]
    names: Mapping[Node, str]
    schemas: Schemas
    rules: Sequence[Rule] = ()
    cutovers: Mapping[str, datetime] = field(default_factory=dict)
    memory: Memory | None = None
    recomputed: set[str] = field(default_factory=set)
    statistics: Callable[[str], Mapping[str, Fitted]] = lambda table: {}
    evolved: Mapping[str, Evolved] = field(default_factory=dict)
    done: dict[str, Definition] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    views: dict[str, CompiledView] = field(default_factory=dict)

    def name_of(self, reference: Any, where: str) -> str:
        """Return the name of a node, given the node or its name. Raises `UnknownName` and `DefinitionError`."""
        if isinstance(reference, str):
            if reference not in self.nodes:
                raise UnknownName.among("node", reference, self.nodes, where=where)
            return reference
        if not isinstance(reference, Node):
            raise _no_node(reference, where)
        if reference not in self.names:
            raise DefinitionError(
                f"a {type(reference).__name__.lower()} that is used is not part of the project",
                where=where,
                got=str(reference.origin),
                hint="assign it to an attribute of a module that mainstem.toml lists",
            )
        return self.names[reference]

    def visible(self, name: str) -> ibis.Table:
        """Return a node as a user's function sees it: an unbound table of its name, without hidden columns."""
        definition = self.done[name]
        if definition.schema is None or not definition.is_relation:
            raise DefinitionError(f"{name!r} is not a relation", hint="a table can read sources and tables")
        return unbound(name, visible(definition.schema))

    def traces(self, name: str) -> dict[str, Trace]:
        """Return the sources of each column of a relation, and when it becomes known."""
        definition = self.done[name]
        return {c: Trace(frozenset(definition.columns[c]), known) for c, known in definition.known.items()}

    def look(self, name: str) -> str:
        """Return a hash of what a table over a relation depends on while it is resolved: its columns, in order, and
        their types and traces."""
        if name not in self.seen:
            definition = self.done[name]
            schema = tuple(visible(definition.schema or {}).items())
            self.seen[name] = key_of(definition.is_relation, schema, definition.columns, definition.known)
        return self.seen[name]

    def over_stored(self, declared: ibis.Table, names: Iterable[str]) -> ibis.Table:
        """Return the expression with each of the nodes `names` replaced by its `read` expression."""
        exchange = {}
        for name in names:
            seen, read = self.visible(name), self.done[name].read
            assert read is not None
            exchange[seen.op()] = read.select(*seen.columns).op()
        built: ibis.Table = declared.op().replace(exchange).to_expr()
        return built


def _no_node(reference: Any, where: str) -> DefinitionError:
    undecorated = callable(reference) and not isinstance(reference, type)
    return DefinitionError(
        "this input is not a node",
        where=where,
        got=shown(reference),
        expected="a source, a table, a view or a model, or the name of one",
        hint="@ms.table declares a function as a table" if undecorated else None,
    )
