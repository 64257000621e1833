"""Take outcomes that clients send by the id of a prediction or of an answer.

An outcome may come before its prediction is in the lake, and for a prediction of an earlier version, so an unknown id
is taken too. A run says how many have no prediction. A second outcome of an id replaces the first; both are kept, with
the time at which they arrived.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import ibis
import ibis.expr.operations as ops

from mainstem.errors import RequestError, SchemaError
from mainstem.features.retrieval import plain
from mainstem.features.rowwise.on_demand import RowFunction, compile_on_demand
from mainstem.features.targets import target_of
from mainstem.logs.outcomes import SentOutcome, encode_outcome, outcomes_of
from mainstem.logs.records import append
from mainstem.models.training.blueprint import task_at_load
from mainstem.nodes.definition import Graph
from mainstem.nodes.hidden import ARRIVED, PREDICTION, SENT, SEQ, visible
from mainstem.nodes.instants import INSTANT, micros_of
from mainstem.nodes.records import now
from mainstem.ports import Writer
from mainstem.streaming.rows import RowSchema, converter

ID = "id"
"""The field of a request with the id."""


def outcome_schema(graph: Graph, endpoint: str) -> dict[str, str]:
    """Return column → Ibis type of the relation `outcomes.ENDPOINT`."""
    return {PREDICTION: "string", SENT: _target(graph, endpoint), SEQ: "int64", ARRIVED: INSTANT}


class Outcomes:
    """Takes the outcomes of an endpoint. `floor` is the number of those that are in the lake."""

    def __init__(self, graph: Graph, endpoint: str, floor: int = 0) -> None:
        node: Any = graph[endpoint].node
        self.name, self.description, self._floor = endpoint, node.description, floor
        self._model, self._binary = node.model, task_at_load(graph, graph.name_of(node.model)) == "binary"
        self.columns = _readable(graph, endpoint)
        optional = {SENT: _target(graph, endpoint), **self.columns}
        self.schema = RowSchema({ID: "string"}, required=[ID], optional=optional, where=f"outcomes of {endpoint}")

    def accept(self, rows: Sequence[Any]) -> list[SentOutcome]:
        """Check rows and return them as outcomes that arrive now. Raises `RequestError` for the first invalid row."""
        arrived = micros_of(now())
        checked = self.schema.check(rows, "outcomes")
        return [SentOutcome(row[ID], self._value(row, n), arrived) for n, row in enumerate(checked)]

    def write(self, writer: Writer, outcomes: Sequence[SentOutcome]) -> int:
        """Append outcomes to the log and return the first offset. Raises `StorageError`."""
        return append(writer, outcomes_of(self.name), [encode_outcome(each) for each in outcomes], self._floor)

    def _value(self, row: Mapping[str, Any], place: int) -> Any:
        """Return the target of a row: as it is sent, or from the columns that the target reads."""
        given = [name for name in self.columns if name in row and name != SENT]
        if SENT in row and given:
            raise self._refused("an outcome is given twice", place, f"{SENT!r} and {given[0]!r}")
        if SENT in row:
            value = row[SENT]
        elif given:
            value = self._function({name: row.get(name) for name in self.columns})[SENT]
        else:
            raise self._refused("the outcome is missing", place, f"only {ID!r}")
        if value is None or (self._binary and value not in (0, 1)):
            raise self._refused("the outcome has no value", place, "null" if value is None else repr(value))
        return value

    @cached_property
    def _function(self) -> RowFunction:
        return compile_on_demand({SENT: lambda row: target_of(row, self._model)}, self.columns)

    def _refused(self, what: str, place: int, got: str) -> RequestError:
        columns = f", or {' and '.join(map(repr, self.columns))}" if self.columns else ""
        kind = "true or false" if self._binary else self.schema.optional[SENT]
        where = f"outcomes of {self.name}, outcomes[{place}]"
        return RequestError(what, where=where, got=got, expected=f"{SENT!r}: {kind}{columns}")


def _target(graph: Graph, endpoint: str) -> str:
    """Return the type of an outcome, as JSON carries it."""
    return plain(str(target_of(_examples(graph, endpoint), _model(graph, endpoint)).type()))


def _readable(graph: Graph, endpoint: str) -> dict[str, str]:
    """Return the columns that the target reads, if a request can send them all."""
    rows = _examples(graph, endpoint)
    read = {field.name for field in target_of(rows, _model(graph, endpoint)).op().find(ops.Field)}
    types = {name: plain(str(rows[name].type())) for name in rows.columns if name in read}
    try:
        for kind in types.values():
            converter(kind)
    except SchemaError:
        return {}
    return {} if ID in types else types


def _examples(graph: Graph, endpoint: str) -> ibis.Table:
    examples = graph[graph.name_of(_model(graph, endpoint).examples)]
    return ibis.table(visible(examples.schema or {}), name=examples.name)


def _model(graph: Graph, endpoint: str) -> Any:
    node: Any = graph[endpoint].node
    return node.model
