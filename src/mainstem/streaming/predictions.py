"""The stored relation `predictions.ENDPOINT`: its columns, and the columns that a request contains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis.expr.datatypes as dt

from mainstem.features.forecasts import forecast_of
from mainstem.features.retrieval import retrieval_of
from mainstem.logs.records import CHAMPION
from mainstem.nodes.definition import Graph
from mainstem.nodes.hidden import (
    DECISION,
    FLAGS,
    LOGGED_AT,
    OFFERED,
    POLICY,
    PREDICTION,
    PROPENSITY,
    QUOTAS,
    RANK,
    REQUEST,
    ROLE,
    SCORES,
    VALUES,
    VERSION,
    T,
)
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
    POLICY: "string",
    VALUES: "string",
    QUOTAS: "string",
    REQUEST: "string",
    RANK: "int64",
    OFFERED: "int64",
    PROPENSITY: "float64",
}

BEFORE: Mapping[str, str] = {ROLE: CHAMPION}
"""The values of columns of `HIDDEN` in rows that were stored before these columns existed. Others are null."""


def example_key(graph: Graph, model: str) -> dict[str, str]:
    """Return the key of a model's examples, which outcomes are joined by, with the types of requests. That of a
    forecast is the series and the time of the row."""
    retrieval, forecast = retrieval_of(graph, model), forecast_of(graph, model)
    definition = graph[retrieval.examples]
    schema = definition.schema or {}
    node: Any = definition.node
    if forecast is None:
        return {column: retrieval.request.get(column) or _sent(schema[column]) for column in node.key}
    return {**{name: retrieval.request[name] for name in forecast.series}, forecast.time: forecast.type}


def prediction_schema(graph: Graph, endpoint: str) -> dict[str, str]:
    """Return column → Ibis type: the examples' key, the request's fields, every feature as used, and `HIDDEN`."""
    node: Any = graph[endpoint].node
    model = graph.name_of(node.model)
    retrieval = retrieval_of(graph, model)
    return {**example_key(graph, model), **retrieval.request, **retrieval.columns, **HIDDEN}


def _sent(type: str) -> str:
    """Return a column's type as JSON carries it."""
    parsed = dt.dtype(type)
    if parsed.is_integer():
        return "int64"
    return "float64" if parsed.is_floating() or parsed.is_decimal() else str(parsed.copy(nullable=True))
