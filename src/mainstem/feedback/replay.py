"""Replay: what the logged predictions would have been, had the data been read otherwise."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import ibis

from mainstem.features.dataset import plan_features, with_features
from mainstem.features.instants import INSTANT
from mainstem.graph.lineage import leaves
from mainstem.models.metrics import Array
from mainstem.monitoring.partition import Batch, Watched, inputs_of
from mainstem.nodes.definition import Graph
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
    import pyarrow as pa

    plan = plan_features(graph, watched.model)
    asked = batch.table.select([*plan.request, "_t"]).append_column(ROW, pa.array(range(len(batch)), pa.int64()))
    types = {**plan.request, "_t": str(INSTANT), ROW: "int64"}
    found = with_features(ibis.table(types, name=REQUESTS), plan)
    query = found.select(ROW, *(column.name for column in names)).order_by(ROW)
    with watched.context.session(leaves(query) - {REQUESTS}) as session:
        session.add(REQUESTS, asked)
        table = session.fetch(query)
    return inputs_of(table, names)


def derived(inputs: Sequence[InputColumn], places: Collection[str]) -> list[InputColumn]:
    """The inputs that derive from any of some source columns, as far as lineage tells."""
    return [column for column in inputs if not column.sources or not set(places).isdisjoint(column.sources)]
