"""What decisions were worth: the endpoint's rule again, with the outcome in place of the score.

Of `ms.cheapest` it is what the decision saved against an option that is always taken. Of `ms.best` and `ms.top` it is
the value of a chosen candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.graph.fingerprint import digest
from mainstem.graph.named import named
from mainstem.models.metrics.intervals import interval_of, resampled
from mainstem.models.training.blueprint import task_at_load
from mainstem.monitoring.history import clusters
from mainstem.monitoring.outcomes import OUTCOME
from mainstem.monitoring.partition import Batch, Watched, floats
from mainstem.nodes.decisions import Cheapest
from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint, Value
from mainstem.nodes.hidden import DECISION
from mainstem.nodes.records import Measure
from mainstem.serving.decisions.choices import choices_of
from mainstem.serving.decisions.expressions import SCORE, SCORES, Compiled, compile_values, flat
from mainstem.serving.decisions.policy import Policy, columns_of, policy_of
from mainstem.serving.decisions.ranking import VALUE

if TYPE_CHECKING:
    import ibis

ROW, WORTH = "_row", "_worth"
OWN = ("outcome", "decision")
"""What an own expression reads beside request, features and score."""


def rule_of(endpoint: Endpoint) -> Value | None:
    """Return how decisions of an endpoint are valued: as a monitor says, else by its rule."""
    found = next((m for m in endpoint.monitors if isinstance(m, Value)), None)
    return found or (None if endpoint.decide is None else Value(0.0))


def check_value(graph: Graph, name: str, rule: Value) -> None:
    """Refuse a monitor of values whose decisions have none. Raises `DefinitionError`."""
    node: Any = graph[name].node
    where = graph[name].where
    options = node.decide.options if isinstance(node.decide, Cheapest) else {}
    if rule.worth is not None:
        _own(graph, name, rule)
    elif node.decide is None:
        raise DefinitionError(
            "`ms.value` does not know what a decision is worth",
            where=where,
            got="an endpoint without `decide`",
            expected="decide=ms.cheapest(…), or an expression",
            hint="ms.value(0, worth=_.outcome * _.amount)",
        )
    if rule.against is not None and not options:
        raise DefinitionError("`against` requires decide=ms.cheapest(…)", where=where, got=repr(rule.against))
    if rule.against is not None and rule.against not in options:
        raise UnknownName.among("option", rule.against, options, of="`decide`", where=where)


def meaning(watched: Watched, rule: Value | None) -> str:
    """Return a hash of how decisions are valued. It changes when their values may."""
    graph, name, node = watched.context.graph, watched.name, watched.endpoint
    if rule is None:
        return ""
    if rule.worth is not None:
        return digest("own", *_own(graph, name, rule).fingerprints.values())
    if isinstance(node.decide, Cheapest):
        policy = policy_of(graph, name)
        assert policy is not None
        return digest("saved", policy.fingerprint, _against(node.decide, rule))
    choices = choices_of(graph, name)
    assert choices is not None
    return digest("chosen", choices.ranking.fingerprint)


def worths(watched: Watched, batch: Batch, rule: Value) -> NDArray[np.float64]:
    """Return what each decision was worth; NaN without an outcome or a decision."""
    import ibis
    import pyarrow as pa

    if not len(batch):
        return np.zeros(0)
    rows = ibis.table({**ibis.Schema.from_pyarrow(batch.table.schema), ROW: "int64"}, name="judged")
    value = _valued(watched, rows, rule)
    query = value.select(ROW, **{WORTH: value[WORTH].cast("float64")}).order_by(ROW)
    with watched.context.engine.session({}) as session:
        session.add("judged", batch.table.append_column(ROW, pa.array(range(len(batch)), pa.int64())))
        found = floats(session.fetch(query)[WORTH])
    return np.where(np.isfinite(found) & batch.known, found, np.nan)


def mean(values: NDArray[np.float64], times: NDArray[np.int64]) -> Measure:
    """Return the mean value of decisions with its 95 % interval. Days are resampled as wholes."""
    draws = [float(np.average(values, weights=w)) for w in resampled(len(values), clusters(times), 200, 0) if w.any()]
    return interval_of(float(values.mean()), draws, len(values))


def _valued(watched: Watched, rows: ibis.Table, rule: Value) -> ibis.Table:
    """Return rows with `WORTH`."""
    graph, name, node = watched.context.graph, watched.name, watched.endpoint
    if rule.worth is not None:
        read = rows.mutate(outcome=_outcome(watched, rows), decision=rows[DECISION])
        return read.mutate(**{WORTH: _own(graph, name, rule).over(read)["worth"]})
    if isinstance(node.decide, Cheapest):
        policy = policy_of(graph, name)
        assert policy is not None
        return _saved(_told(watched, rows, policy.compiled.classes), policy, _against(node.decide, rule))
    choices = choices_of(graph, name)
    assert choices is not None
    compiled = choices.ranking.compiled
    told = _told(watched, rows, compiled.classes)
    return told.mutate(**{WORTH: compiled.over(told)[VALUE]})


def _against(decide: Cheapest, rule: Value) -> str:
    """Return the option that a decision is compared with."""
    return rule.against or next(iter(decide.options))


def _told(watched: Watched, rows: ibis.Table, names: Sequence[str]) -> ibis.Table:
    """Return rows with the scores that a model would have given that knew the outcome.

    Of a class it is 1 or 0. Every quantile of what is certain is the outcome itself.
    """
    import ibis

    outcome, classes = rows[OUTCOME], watched.version.classes
    if watched.version.task != "multiclass":
        return rows.mutate(*named({SCORE: outcome}), *named({flat(name): outcome for name in names}))
    places = {name: float(place) for place, name in enumerate(classes)}
    hits = {name: outcome == places[name] if name in places else ibis.literal(False) for name in names}
    return rows.mutate(*named({flat(name): hit.cast("float64") for name, hit in hits.items()}))


def _outcome(watched: Watched, rows: ibis.Table) -> ibis.Value:
    """Return the outcome as an own expression reads it: a number, or the name of a class."""
    import ibis

    if watched.version.task != "multiclass":
        return rows[OUTCOME]
    named = enumerate(watched.version.classes)
    return ibis.cases(*((rows[OUTCOME] == float(place), name) for place, name in named))


def _saved(rows: ibis.Table, policy: Policy, against: str) -> ibis.Table:
    """Return rows with what the decision cost less than the option `against`."""
    import ibis

    columns = {option: f"_cost_{n}" for n, option in enumerate(policy.rule.options)}
    costs = policy.priced(rows, columns)
    taken = ibis.cases(*((costs[DECISION] == option, costs[column]) for option, column in columns.items()))
    return costs.mutate(**{WORTH: costs[columns[against]] - taken})


def _own(graph: Graph, name: str, rule: Value) -> Compiled:
    """Return the compiled expression of a monitor. Raises `UnknownName` and `SchemaError`."""
    node: Any = graph[name].node
    where = graph[name].where
    model = graph.name_of(node.model)
    known = columns_of(graph, model, where)
    for column in known.keys() & set(OWN):
        raise SchemaError(
            f"a request field or a feature has the name {column!r}, which `worth` reads of a decision",
            where=where,
            hint="give the column of the examples another name",
        )
    known.pop(SCORES, None)
    outcome = "string" if task_at_load(graph, model) == "multiclass" else "float64"
    return compile_values({"worth": rule.worth}, {**known, **dict(zip(OWN, (outcome, "string"), strict=True))}, where)
