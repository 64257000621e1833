"""What only the engine can compute of a request: on-demand features and cleaned fields.

An endpoint that has a latency is refused then. Of features a load also warns.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from mainstem.errors import DefinitionError
from mainstem.features.requests import sent
from mainstem.features.retrieval import Computation, retrieval_of
from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.models import Model

logger = logging.getLogger(__name__)

_said: set[tuple[str, str]] = set()


@dataclass(frozen=True)
class Fallback:
    """An on-demand feature that the engine computes at request time because of an operation. `where` is its
    declaration."""

    feature: str
    operation: str
    where: str


@dataclass(frozen=True)
class Cleaned:
    """A verb that the engine applies to a request because of an operation. `where` is the table of examples."""

    verb: str
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
        model = graph.name_of(endpoint.model)
        if endpoint.latency is not None:
            every: list[Fallback | Cleaned] = [*found[model], *_cleaned(graph, model)]
            for slow in every:
                raise _refused(slow, endpoint).at(graph[name].where)
    for model, features in found.items():
        for fallback in features:
            _say(model, fallback)


def _cleaned(graph: Graph, model: str) -> Iterator[Cleaned]:
    where = graph[retrieval_of(graph, model).examples].where
    for cleaning in sent(graph, model, {}).cleaning:
        for operation in cleaning.fallbacks.values():
            yield Cleaned(cleaning.verb.label, operation, where)


def _refused(slow: Fallback | Cleaned, endpoint: Endpoint) -> DefinitionError:
    what = f"the on-demand feature {slow.feature!r}" if isinstance(slow, Fallback) else f"the verb {slow.verb}"
    return DefinitionError(
        f"{what} is too slow for an endpoint with latency={endpoint.latency!r}",
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
