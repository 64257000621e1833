"""The interface between a project and a type of node."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from mainstem.nodes.base import Node, NodeRef
from mainstem.nodes.definition import Definition, Graph
from mainstem.planning.execution import Executor
from mainstem.planning.kinds import Due
from mainstem.planning.outlook import Outlook
from mainstem.planning.plan import StepKind
from mainstem.project.kinds.scope import Scope
from mainstem.tables.memory import Memory

N = TypeVar("N", bound=Node)


class Log(NamedTuple):
    """A log of the online store, and the stored relation that a run drains it to. A drain takes `beside` too."""

    name: str
    table: str
    beside: tuple[Log, ...] = ()


class NodeKind(ABC, Generic[N]):
    """One type of node. To add a type, subclass `Node`, and register a subclass of this class."""

    node_type: type[N]
    """The type of node. It includes subtypes without their own kind."""

    is_data: bool = True
    """Whether an error in the definition of such a node stops the whole project. An error of a view, a model or an
    endpoint stops only what depends on it."""

    executors: Mapping[StepKind, Executor] = {}
    """Executors of the kinds of steps that only this type has. The built-in ones are in `project/wiring.py`."""

    def word(self, node: N) -> str:
        """Return the name of the type in messages: `table`."""
        return type(node).__name__.lower()

    def references(self, node: N, memory: Memory | None = None) -> Sequence[NodeRef]:
        """Return the nodes that a node reads, or their names. Raises `DefinitionError`."""
        return ()

    @abstractmethod
    def define(self, name: str, node: N, inputs: tuple[str, ...], scope: Scope) -> Definition:
        """Return the resolved node. `inputs` are the names of its references. Raises `DefinitionError`."""

    def check(self, graph: Graph) -> None:
        """Refuse nodes that are invalid in the whole project. Raises `DefinitionError`."""

    def due(self, name: str, node: N, outlook: Outlook) -> Iterable[Due]:
        """Return the steps that bring a node to its declared state, in order. Depends only on the outlook."""
        return ()

    def log(self, name: str) -> Log | None:
        """Return the log that a live node writes, if it has one."""
        return None
