"""A resolved project: every node with its name, inputs, types, availability and fingerprint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from mainstem.errors import DefinitionError, UnknownName
from mainstem.graph.dag import Dag
from mainstem.graph.known import Known
from mainstem.graph.lineage import leaves
from mainstem.nodes.base import Node, NodeRef
from mainstem.nodes.findings import Rule
from mainstem.nodes.joins import Join
from mainstem.nodes.later import Lazy
from mainstem.nodes.verbs import Verb
from mainstem.nodes.verbs.fitted import Fit

if TYPE_CHECKING:
    import ibis

N = TypeVar("N", bound=Node)

EVOLVED = "mainstem.evolved"
"""The snapshot property with the columns that runs added to a source, or widened, since schemas.lock was written."""

Evolved = Mapping[str, tuple[str | None, str]]
"""Such columns: the type in schemas.lock, None for a new column, and the present type."""


@dataclass(frozen=True, eq=False)
class Definition:
    """A resolved node.

    `inputs` are the names of the nodes it reads. `known` says for each visible column when it becomes known, in terms
    of the relation's own columns. `columns` maps each column to the source columns it derives from, as `source.column`.

    Relations (sources and tables) also have these fields. `schema` maps columns to Ibis types as stored, hidden columns
    (`_seq`, `_arrived`) included. `build` is the unbound Ibis expression over the stored relations that makes the
    table; it is None for sources. `read` is the expression that other nodes read, also over stored relations: the
    stored rows, with remedies applied and, for a stream, with its history. `rules` are the remedies that `read`
    applies. `versions` exists for a stream of changes: it includes corrected and deleted rows, with the time of the
    retraction in `_gone`.

    `clean` are the verbs of a table, with what they read from files, and `fits` are the fitted ones among them. `raw`
    are the rows of a table before its `clean=` verbs, and `aside` the columns of the rows set aside, if they differ
    from `schema`.
    `joins` are the joins that the table's function declares, over the stored relations. `opens` are the stored
    relations that `read` is over; if it is None, the expression tells. `build`, `raw` and `read` may be given as
    `Later`: they are then made when they are first needed.
    `evolved` are the columns of a source that runs added or widened.

    `fingerprint` identifies what is stored. `read_fingerprint` identifies what other nodes read, so it also changes
    with a remedy. `own` is that of the node's declaration alone, without its inputs.
    `declared` is the fingerprint that models depend on, if it differs from `fingerprint`: it never
    changes with a remedy. `made` is the fingerprint that a run saves, if it differs from `fingerprint`: online state
    depends on what is read.
    """

    name: str
    node: Node
    inputs: tuple[str, ...]
    fingerprint: str
    read_fingerprint: str = ""
    schema: Mapping[str, str] | None = None
    build: Lazy[ibis.Table] = Lazy()  # noqa: RUF009 - a descriptor
    read: Lazy[ibis.Table] = Lazy()  # noqa: RUF009 - a descriptor
    known: Mapping[str, Known] = field(default_factory=dict)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    versions: ibis.Table | None = None
    rules: tuple[Rule, ...] = ()
    declared: str = ""
    made: str = ""
    own: str = ""
    raw: Lazy[ibis.Table] = Lazy()  # noqa: RUF009 - a descriptor
    aside: Mapping[str, str] | None = None
    fits: tuple[Fit, ...] = ()
    clean: tuple[Verb, ...] = ()
    joins: tuple[Join, ...] = ()
    opens: frozenset[str] | None = None
    evolved: Evolved = field(default_factory=dict)

    @property
    def is_relation(self) -> bool:
        """Whether other nodes can read rows of it."""
        found: bool = vars(type(self))["read"].is_given(self)
        return found

    @property
    def set_aside(self) -> Mapping[str, str]:
        """The columns of rows that are set aside."""
        return self.aside or self.schema or {}

    @property
    def declared_fingerprint(self) -> str:
        """The fingerprint that models and views over this node depend on. Corrections of the data do not change it."""
        return self.declared or self.fingerprint

    @property
    def made_by(self) -> str:
        """The fingerprint that a run saves for the data it made."""
        return self.made or self.fingerprint

    @property
    def events(self) -> ibis.Table | None:
        """The rows that features are computed from, including rows that were corrected or deleted later."""
        return self.read if self.versions is None else self.versions

    @property
    def where(self) -> str:
        """The node's place for error messages: `legs (flights.py:12)`."""
        return f"{self.name} ({self.node.origin})"


@dataclass(frozen=True, eq=False)
class Graph:
    """Every definition of a project by name, and the dependencies between them. `names` maps stand-ins to their
    originals. `broken` are the views, models and endpoints that could not be resolved, with their errors."""

    definitions: Mapping[str, Definition]
    dag: Dag
    names: Mapping[Node, str] = field(default_factory=dict)
    broken: Mapping[str, DefinitionError] = field(default_factory=dict)

    def without(self, broken: Mapping[str, DefinitionError]) -> Graph:
        """Return the graph without broken nodes and those that depend on them."""
        found = {**self.broken, **broken}
        for name in self.dag.order:
            cause = next((each for each in self.dag.needs[name] if each in found), None)
            if cause is not None:
                found.setdefault(name, found[cause])
        sound = {name: each for name, each in self.definitions.items() if name not in found}
        dag = Dag({name: needs for name, needs in self.dag.needs.items() if name in sound})
        return Graph(sound, dag, self.names, found)

    def whole(self) -> Graph:
        """Return this graph. Raises `DefinitionError` if a node is broken."""
        for problem in self.broken.values():
            raise problem
        return self

    def __getitem__(self, name: str) -> Definition:
        if name in self.broken:
            raise self.broken[name]
        if name not in self.definitions:
            raise UnknownName.among("node", name, self.definitions)
        return self.definitions[name]

    def __contains__(self, name: object) -> bool:
        return name in self.definitions

    def __iter__(self) -> Iterator[Definition]:
        """Yield the definitions in dependency order."""
        return (self.definitions[name] for name in self.dag.order)

    def of(self, kind: type[N]) -> dict[str, N]:
        """Return the nodes of a kind by name, in dependency order."""
        return {d.name: d.node for d in self if isinstance(d.node, kind)}

    def name_of(self, ref: NodeRef) -> str:
        """Return the name of a node, given the node or its name. Raises `UnknownName`."""
        if isinstance(ref, str):
            return self[ref].name
        if ref not in self._names:
            kind = type(ref).__name__.lower()
            raise UnknownName.among("node", ref.name or f"a {kind}", self.definitions, where=str(ref.origin))
        return self._names[ref]

    def stored_inputs(self, name: str) -> frozenset[str]:
        """Return the stored relations that a node reads, directly or through nodes that are not stored."""
        return frozenset(leaf for needed in self[name].inputs for leaf in self.stored(needed))

    def stored(self, name: str) -> frozenset[str]:
        """Return the stored relations to open for reading a node; for a view or a model, those of its inputs."""
        definition = self[name]
        if definition.opens is not None:
            return definition.opens
        return self.stored_inputs(name) if definition.read is None else leaves(definition.read)

    @cached_property
    def _names(self) -> dict[Node, str]:
        return {**self.names, **{definition.node: name for name, definition in self.definitions.items()}}
