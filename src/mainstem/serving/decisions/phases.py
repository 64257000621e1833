"""What of a retrieval depends on the candidate, and what is read once for each request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from mainstem.features.retrieval import Computation, Retrieval


def phases(retrieval: Retrieval, offered: Iterable[str]) -> tuple[Retrieval, Retrieval]:
    """Return what does not depend on the `offered` fields, and what does, as two retrievals.

    What only the engine computes is of the second one.
    """
    first, then, varying = list[Any](), list[Any](), set(offered)
    for action in retrieval.actions:
        if isinstance(action, Computation):
            late = bool(action.reads & varying) or bool(action.function.fallbacks)
        else:
            late = bool(set(action.on) & varying)
        if late:
            varying |= brought(action)
        (then if late else first).append(action)
    return replace(retrieval, actions=tuple(first)), replace(retrieval, actions=tuple(then))


def brought(action: Any) -> set[str]:
    """Return the columns that an action brings."""
    return set(action.node.features if isinstance(action, Computation) else action.columns)
