"""A project, resolved: every node with its name, inputs, types, knowledge and fingerprint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from mainstem.errors import UnknownName
from mainstem.graph.dag import Dag
from mainstem.graph.known import Known
from mainstem.graph.lineage import leaves
from mainstem.nodes.base import Node, NodeRef
from mainstem.nodes.findings import Rule

if TYPE_CHECKING:
    import ibis

N = TypeVar("N", bound=Node)


@dataclass(frozen=True, eq=False)
class Definition:
    """A node, resolved.

    `inputs` are the names it reads. For relations (sources and tables): `schema` maps columns to Ibis types as
    stored (hidden columns `_seq`, `_arrived` included); `build` is the unbound Ibis expression over the stored
    relations that makes the table (None for sources); `read` is the expression by which others read it, over stored
    relations too: itself for most, corrected by its remedies, and united with its history for a stream. `versions`
    (of a stream of changes only) has what was corrected or deleted as well, and in `_gone` when word of that arrived.
    `rules` are the remedies that `read` applies.
    `fingerprint` is of what is stored, `read_fingerprint` of what others read: it changes with a remedy too. `declared`
    is what models are made from, where that is not the `fingerprint`: it never changes with a remedy. `made` is what a
    run remembers, where that is not the `fingerprint`: online state is made of what reading gives.
    `known` says for each visible column when it becomes known, in terms of the relation's own columns; `columns`
    maps each to the source columns it derives from, as `source.column`.
    """

    name: str
    node: Node
    inputs: tuple[str, ...]
    fingerprint: str
    read_fingerprint: str = ""
    schema: Mapping[str, str] | None = None
    build: ibis.Table | None = None
    read: ibis.Table | None = None
    known: Mapping[str, Known] = field(default_factory=dict)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    versions: ibis.Table | None = None
    rules: tuple[Rule, ...] = ()
    declared: str = ""
    made: str = ""

    @property
    def declared_fingerprint(self) -> str:
        """The fingerprint that models and views over this node are made from: correcting data is no new definition."""
        return self.declared or self.fingerprint

    @property
    def made_by(self) -> str:
        """The fingerprint that a run remembers for what it made."""
        return self.made or self.fingerprint

    @property
    def events(self) -> ibis.Table | None:
        """What features are computed from: all that could be known at some time, also what is known better now."""
        return self.read if self.versions is None else self.versions

    @property
    def where(self) -> str:
        """Its place for error messages: `legs (flights.py:12)`."""
        return f"{self.name} ({self.node.origin})"


@dataclass(frozen=True, eq=False)
class Graph:
    """Every definition of a project by name, and how they depend on each other. `names` knows stand-ins' originals."""

    definitions: Mapping[str, Definition]
    dag: Dag
    names: Mapping[Node, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Definition:
        if name not in self.definitions:
            raise UnknownName.among("node", name, self.definitions)
        return self.definitions[name]

    def __contains__(self, name: object) -> bool:
        return name in self.definitions

    def __iter__(self) -> Iterator[Definition]:
        """In dependency order."""
        return (self.definitions[name] for name in self.dag.order)

    def of(self, kind: type[N]) -> dict[str, N]:
        """The nodes of a kind by name, in dependency order."""
        return {d.name: d.node for d in self if isinstance(d.node, kind)}

    def name_of(self, ref: NodeRef) -> str:
        """The name of a node, given itself or its name. Raises `UnknownName`."""
        if isinstance(ref, str):
            return self[ref].name
        if ref not in self._names:
            kind = type(ref).__name__.lower()
            raise UnknownName.among("node", ref.name or f"a {kind}", self.definitions, where=str(ref.origin))
        return self._names[ref]

    def stored_inputs(self, name: str) -> frozenset[str]:
        """The stored relations that a node is made from, through whatever it reads that is not stored itself."""
        return frozenset(leaf for needed in self[name].inputs for leaf in self.stored(needed))

    def stored(self, name: str) -> frozenset[str]:
        """The stored relations to open for reading a node; for a view or model, those of its inputs."""
        read = self[name].read
        return self.stored_inputs(name) if read is None else leaves(read)

    @cached_property
    def _names(self) -> dict[Node, str]:
        return {**self.names, **{definition.node: name for name, definition in self.definitions.items()}}
