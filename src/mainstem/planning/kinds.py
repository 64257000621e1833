"""The interface between plans and types of nodes: one object per type that says when a node is due."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from mainstem.errors import DefinitionError
from mainstem.nodes.base import Node
from mainstem.planning.outlook import Outlook, Reason
from mainstem.planning.plan import Effect, StepKind


@dataclass(frozen=True)
class Due:
    """A step that a node may need: its `kind`, its effect on the node, and `details` to show."""

    kind: StepKind
    reason: Reason
    effect: Effect
    details: tuple[str, ...] = ()


def due(kind: StepKind, reason: Reason | None, effect: Effect, details: tuple[str, ...] = ()) -> tuple[Due, ...]:
    """Return the step, if there is a reason for it."""
    return () if reason is None else (Due(kind, reason, effect, details),)


class Plannable(Protocol):
    """The planning of a type of node."""

    @property
    def node_type(self) -> type[Node]:
        """The type of node. It includes subtypes without their own kind."""
        ...

    def due(self, name: str, node: Any, outlook: Outlook) -> Iterable[Due]:
        """Return the steps that bring the node to its declared state, in order. Depends only on the outlook."""
        ...


K = TypeVar("K", bound=Plannable)


class Kinds(Generic[K]):
    """A registry. The kind of a node is that of its type, or of the nearest ancestor that has one."""

    def __init__(self, *kinds: K) -> None:
        self._kinds: dict[type[Node], K] = {}
        for kind in kinds:
            self.register(kind)

    def register(self, kind: K) -> None:
        """Register the kind of a type of node. It replaces an earlier one."""
        self._kinds[kind.node_type] = kind

    def __iter__(self) -> Iterator[K]:
        return iter(self._kinds.values())

    def of(self, node: Node) -> K:
        """Return the kind of a node. Raises `DefinitionError` for a type without one."""
        for each in type(node).__mro__:
            if each in self._kinds:
                return self._kinds[each]
        raise DefinitionError(
            f"unknown node type {type(node).__name__!r}",
            where=str(node.origin),
            expected=f"one of {', '.join(sorted(known.__name__ for known in self._kinds))}",
            hint="register a NodeKind for it in mainstem.project.kinds.KINDS",
        )
