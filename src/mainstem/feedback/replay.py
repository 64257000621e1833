"""Replay: what the logged predictions would have been, had the data been read otherwise."""

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
    """The inputs that derive from `places` (`source.column`), recomputed for logged predictions as `graph` reads them.

    Requests and prediction times are those of the log, features those of the lake as of then: only what had arrived by
    then counts. All other inputs stay as they were served, so that a difference is the remedy's and nothing else's.
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
    """The model columns that a action of a feature retrieval finds."""
    return action.columns if isinstance(action, Lookup) else action.node.features


def only(retrieval: Retrieval, wanted: Collection[str], inputs: Collection[str]) -> Retrieval:
    """The actions that bring any of the wanted columns, or what those are computed from and is no input (a list, an
    instant); what the others brought stands in the log."""
    needed, actions = set(wanted), list[Lookup | Computation]()
    for action in reversed(retrieval.actions):
        if not needed.isdisjoint(brings(action)):
            actions.append(action)
            values = action.node.features.values() if isinstance(action, Computation) else ()
            needed |= {name for value in values for name in names_in(value)} - set(inputs)
    return replace(retrieval, actions=tuple(reversed(actions)))


def derived(inputs: Sequence[InputColumn], places: Collection[str]) -> list[InputColumn]:
    """The inputs that derive from any of some source columns, as far as lineage tells."""
    return [column for column in inputs if not column.sources or not set(places).isdisjoint(column.sources)]
