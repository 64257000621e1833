"""Checks of the keys of lookups: a request can only contain keys that are known before the prediction."""

from __future__ import annotations

from typing import Any

import ibis

from mainstem.errors import LeakError
from mainstem.features.retrieval import retrieval_of
from mainstem.graph.known import Moment
from mainstem.graph.lineage import moment_of
from mainstem.nodes.definition import Graph
from mainstem.nodes.expressions import resolve_column
from mainstem.nodes.hidden import visible


def check_keys(graph: Graph, model: str) -> None:
    """Refuse a request field that a view is looked up by and that is known only at the prediction or later.

    Raises `LeakError`. Its hint concerns the prediction time, because the field cannot be left out.
    """
    retrieval, node = retrieval_of(graph, model), graph[model].node
    given: Any = node
    examples = graph[retrieval.examples]
    if given.prediction_time is None:
        return
    seen = visible(examples.schema or {})
    moment = moment_of(resolve_column(ibis.table(seen, name=retrieval.examples), given.prediction_time))
    if moment is None:
        return
    for lookup in retrieval.lookups:
        for column in lookup.on:
            if column not in retrieval.request or column in given.assume_known:
                continue
            if column not in examples.known:  # the time that is forecast
                continue
            known = examples.known[column]
            # A query sees only what is strictly before it.
            if not known.unknown and known.by(Moment(moment.column, moment.offset - 1)) == "too late":
                raise LeakError(
                    f"{lookup.view.name!r} is looked up by {column!r}, which is known only at {known}, "
                    f"and the prediction is made at {moment}",
                    got=f"prediction_time={given.prediction_time!r}",
                    expected=f"a time after {known}: a query sees only what was known before it",
                    hint="predict a moment later, prediction_time=… + ibis.interval(seconds=1), or say in known= of "
                    f"{retrieval.examples!r} since when {column!r} is known",
                )
