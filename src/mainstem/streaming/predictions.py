"""The stored relation `predictions.ENDPOINT`: its columns, and which of them a request brings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis.expr.datatypes as dt

from mainstem.features.retrieval import retrieval_of
from mainstem.logs.records import CHAMPION
from mainstem.nodes.definition import Graph
from mainstem.nodes.hidden import DECISION, FLAGS, LOGGED_AT, PREDICTION, ROLE, SCORES, VERSION, T
from mainstem.nodes.instants import INSTANT

HIDDEN: Mapping[str, str] = {
    PREDICTION: "string",
    T: INSTANT,
    LOGGED_AT: INSTANT,
    VERSION: "string",
    "score": "float64",
    FLAGS: "string",
    SCORES: "string",
    DECISION: "string",
    ROLE: "string",
}

BEFORE: Mapping[str, str] = {ROLE: CHAMPION}
"""What columns of `HIDDEN` hold in rows that were stored before there were such columns; null where not named."""


def example_key(graph: Graph, model: str) -> dict[str, str]:
    """The key of a model's examples, by which outcomes are joined, with the types that requests have."""
    retrieval = retrieval_of(graph, model)
    definition = graph[retrieval.examples]
    schema = definition.schema or {}
    node: Any = definition.node
    return {column: retrieval.request.get(column) or _sent(schema[column]) for column in node.key}


def prediction_schema(graph: Graph, endpoint: str) -> dict[str, str]:
    """Column → Ibis type: the examples' key, the request's fields, every feature as it was used, and `HIDDEN`."""
    node: Any = graph[endpoint].node
    model = graph.name_of(node.model)
    retrieval = retrieval_of(graph, model)
    return {**example_key(graph, model), **retrieval.request, **retrieval.columns, **HIDDEN}


def _sent(type: str) -> str:
    """A column's type as JSON has it."""
    parsed = dt.dtype(type)
    if parsed.is_integer():
        return "int64"
    return "float64" if parsed.is_floating() or parsed.is_decimal() else str(parsed.copy(nullable=True))
