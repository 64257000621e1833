"""What a project must know of a type of node."""

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

N = TypeVar("N", bound=Node)


class Log(NamedTuple):
    """A log of the online store, and the stored relation that a run drains it to."""

    name: str
    table: str


class NodeKind(ABC, Generic[N]):
    """One type of node. A type of one's own is a subclass of `Node` and a registered subclass of this."""

    node_type: type[N]
    """The type of node that this is about, and its subtypes that have no kind of their own."""

    executors: Mapping[StepKind, Executor] = {}
    """Executors of the kinds of steps that this alone knows. Mainstem's own are in `project/wiring.py`."""

    def word(self, node: N) -> str:
        """What a person calls such a node: `table`."""
        return type(node).__name__.lower()

    def references(self, node: N) -> Sequence[NodeRef]:
        """The nodes that a node reads, themselves or their names. Raises `DefinitionError`."""
        return ()

    @abstractmethod
    def define(self, name: str, node: N, inputs: tuple[str, ...], scope: Scope) -> Definition:
        """The node resolved, `inputs` being the names of what it references. Raises `DefinitionError`."""

    def check(self, graph: Graph) -> None:
        """Refuse what only the whole project can show to be wrong with such nodes. Raises `DefinitionError`."""

    def due(self, name: str, node: N, outlook: Outlook) -> Iterable[Due]:
        """The steps that bring a node to what it declares, in their order. Looks at nothing but the outlook."""
        return ()

    def log(self, name: str) -> Log | None:
        """The log that a node fills while it is live, if it has one."""
        return None
