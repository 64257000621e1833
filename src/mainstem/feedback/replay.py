"""Replay: recompute logged predictions as if a remedy had been applied to the data."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import ibis
import pyarrow as pa

from mainstem.features.dataset import retrieval_of, with_features
from mainstem.features.retrieval import Computation, Retrieval
from mainstem.features.views.view import Lookup
from mainstem.graph.lineage import leaves
from mainstem.models.metrics import Array
from mainstem.monitoring.partition import Batch, Watched, inputs_of
from mainstem.nodes.definition import Graph
from mainstem.nodes.expressions import names_in
from mainstem.nodes.hidden import T
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.records import InputColumn

REQUESTS, ROW = "_requests", "_row"


def replayed(watched: Watched, batch: Batch, graph: Graph, places: Collection[str]) -> Mapping[str, Array]:
    """Return the inputs that derive from `places` (`source.column`), recomputed as `graph` reads the sources.

    Requests and prediction times come from the log. Features come from the lake, as of the prediction times: only rows
    that had arrived count. All other inputs stay as served, so the remedy is the only cause of a difference.
    """
    names = derived(watched.version.inputs, places)
    if not names:
        return {}
    inputs = {column.name for column in watched.version.inputs}
    retrieval = only(retrieval_of(graph, watched.model), {column.name for column in names}, inputs)
    found = retrieval.columns.keys() & {name for action in retrieval.actions for name in brings(action)}
    given = {**retrieval.request, **{c: t for c, t in retrieval.columns.items() if c not in found}}
    rows = batch.table.select([*given, T]).append_column(ROW, pa.array(range(len(batch)), pa.int64()))
    asked = ibis.table({**given, T: str(INSTANT), ROW: "int64"}, name=REQUESTS)
    query = with_features(asked, retrieval).select(ROW, *(column.name for column in names)).order_by(ROW)
    with watched.context.session(leaves(query) - {REQUESTS}) as session:
        session.add(REQUESTS, rows)
        table = session.fetch(query)
    return inputs_of(table, names)


def brings(action: Lookup | Computation) -> Collection[str]:
    """Return the model columns that an action of a retrieval computes."""
    return action.columns if isinstance(action, Lookup) else action.node.features


def only(retrieval: Retrieval, wanted: Collection[str], inputs: Collection[str]) -> Retrieval:
    """Return the actions that compute the wanted columns, or values that these are computed from (a list, an instant).

    All other columns are in the log.
    """
    needed, actions = set(wanted), list[Lookup | Computation]()
    for action in reversed(retrieval.actions):
        if not needed.isdisjoint(brings(action)):
            actions.append(action)
            values = action.node.features.values() if isinstance(action, Computation) else ()
            needed |= {name for value in values for name in names_in(value)} - set(inputs)
    return replace(retrieval, actions=tuple(reversed(actions)))


def derived(inputs: Sequence[InputColumn], places: Collection[str]) -> list[InputColumn]:
    """Return the inputs that derive from any of some source columns, as far as lineage is known."""
    return [column for column in inputs if not column.sources or not set(places).isdisjoint(column.sources)]
