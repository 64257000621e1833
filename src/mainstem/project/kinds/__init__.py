"""The types of nodes: one object for each says what it references, how it is defined, and when it is due."""

from __future__ import annotations

from typing import Any

from mainstem.planning.kinds import Kinds
from mainstem.project.kinds.base import Log, NodeKind
from mainstem.project.kinds.endpoint import EndpointKind
from mainstem.project.kinds.model import ModelKind
from mainstem.project.kinds.score import ScoreKind
from mainstem.project.kinds.sink import SinkKind
from mainstem.project.kinds.source import CollectedKind
from mainstem.project.kinds.stream import StreamKind
from mainstem.project.kinds.table import TableKind
from mainstem.project.kinds.view import ViewKind

__all__ = ["KINDS", "Log", "NodeKind", "NodeKinds"]

NodeKinds = Kinds[NodeKind[Any]]

KINDS: NodeKinds = Kinds(
    CollectedKind(), StreamKind(), TableKind(), ViewKind(), ModelKind(), EndpointKind(), SinkKind(), ScoreKind()
)
"""The registry. A package adds a type of node by `KINDS.register(…)`."""
