"""On-demand features that only the engine can compute: a warning at load, or an error if the endpoint has a latency."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from mainstem.errors import DefinitionError
from mainstem.features.retrieval import Computation, retrieval_of
from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.models import Model

logger = logging.getLogger(__name__)

_said: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class Fallback:
    """A feature that the engine computes at request time because of an operation. `where` is its declaration."""

    feature: str
    operation: str
    where: str


def fallbacks(graph: Graph, model: str) -> Iterator[Fallback]:
    """Yield the fallbacks of a model's on-demand features."""
    for action in retrieval_of(graph, model).actions:
        if isinstance(action, Computation):
            for feature, operation in action.function.fallbacks.items():
                yield Fallback(feature, operation, str(action.node.origin))


def check_fallbacks(graph: Graph) -> None:
    """Warn of each, once per process. Raises `DefinitionError` if an endpoint of the model declares a `latency`."""
    found = {model: list(fallbacks(graph, model)) for model in graph.of(Model)}
    for name, endpoint in graph.of(Endpoint).items():
        slow = found[graph.name_of(endpoint.model)]
        if endpoint.latency is not None and slow:
            raise _refused(slow[0], endpoint).at(graph[name].where)
    for model, slow in found.items():
        for fallback in slow:
            _say(model, fallback)


def _refused(slow: Fallback, endpoint: Endpoint) -> DefinitionError:
    return DefinitionError(
        f"the on-demand feature {slow.feature!r} is too slow for an endpoint with latency={endpoint.latency!r}",
        got=f"{slow.operation}, which only the engine can compute, in a millisecond or more ({slow.where})",
        expected="the compiled operations: docs/features-and-time.md lists them",
        hint="compute it in a table that a view serves, register the operation, or omit latency=",
    )


def _say(model: str, slow: Fallback) -> None:
    key = (slow.feature, slow.where)
    if key not in _said:
        _said.add(key)
        told = "%s: the on-demand feature %r of %r is computed by the engine, in a millisecond or more, because of %s"
        logger.warning(told, slow.where, slow.feature, model, slow.operation)
