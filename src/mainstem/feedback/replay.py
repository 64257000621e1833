"""Replay: recompute logged predictions as if a remedy had been applied to the data."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import ibis
import pyarrow as pa

from mainstem.features.dataset import plan_features, with_features
from mainstem.features.plan import Computation, FeaturePlan
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
    plan = only(plan_features(graph, watched.model), {column.name for column in names}, inputs)
    found = plan.columns.keys() & {name for step in plan.steps for name in brings(step)}
    given = {**plan.request, **{c: t for c, t in plan.columns.items() if c not in found}}
    rows = batch.table.select([*given, T]).append_column(ROW, pa.array(range(len(batch)), pa.int64()))
    asked = ibis.table({**given, T: str(INSTANT), ROW: "int64"}, name=REQUESTS)
    query = with_features(asked, plan).select(ROW, *(column.name for column in names)).order_by(ROW)
    with watched.context.session(leaves(query) - {REQUESTS}) as session:
        session.add(REQUESTS, rows)
        table = session.fetch(query)
    return inputs_of(table, names)


def brings(step: Lookup | Computation) -> Collection[str]:
    """Return the model columns that a step of a feature plan computes."""
    return step.columns if isinstance(step, Lookup) else step.node.features


def only(plan: FeaturePlan, wanted: Collection[str], inputs: Collection[str]) -> FeaturePlan:
    """Return the steps that compute the wanted columns, or values that these are computed from (a list, an instant).

    All other columns are in the log.
    """
    needed, steps = set(wanted), list[Lookup | Computation]()
    for step in reversed(plan.steps):
        if not needed.isdisjoint(brings(step)):
            steps.append(step)
            values = step.node.features.values() if isinstance(step, Computation) else ()
            needed |= {name for value in values for name in names_in(value)} - set(inputs)
    return replace(plan, steps=tuple(reversed(steps)))


def derived(inputs: Sequence[InputColumn], places: Collection[str]) -> list[InputColumn]:
    """Return the inputs that derive from any of some source columns, as far as lineage is known."""
    return [column for column in inputs if not column.sources or not set(places).isdisjoint(column.sources)]
