"""Parity of decisions: the policy, evaluated by the engine over logged rows, against the decisions that were served."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import ibis

from mainstem.graph.lineage import leaves
from mainstem.logs.lateness import decided_in_time
from mainstem.nodes.hidden import DECISION, FLAGS, LOGGED_AT, POLICY, PREDICTION
from mainstem.nodes.overrides import FLAG
from mainstem.nodes.parity import FeatureParity
from mainstem.planning.execution import Context
from mainstem.serving.decisions.policy import Policy, policy_of

NAME = "decision"
"""The name of the line of decisions in a report."""

_SERVED, _AGAIN = "_served_decision", "_decided"
_TOLERANCE = 1e-9


def decisions(
    context: Context, endpoint: str, relation: str, *, sample: int | None, since: datetime | None
) -> FeatureParity | None:
    """Decide logged reads again with the endpoint's policy and compare. Return None if it has no policy.

    Reads that an operator or another version of the policy decided, and late ones, are left out. Two options whose
    values differ by less than rounding are equal.
    """
    policy = policy_of(context.graph, endpoint)
    log = ibis.table({f.name: f.type for f in context.snapshot(relation).fields}, name=relation)
    if policy is None or POLICY not in log.columns:
        return None
    log = log.filter(log[POLICY] == policy.fingerprint, ~log[FLAGS].fill_null("").contains(FLAG))
    log = decided_in_time(log)
    if since is not None:
        log = log.filter(log[LOGGED_AT] > ibis.literal(since).cast(log[LOGGED_AT].type()))
    if sample is not None:
        log = log.order_by(PREDICTION).limit(sample)
    query = again(log, policy)
    with context.session(leaves(query)) as session:
        rows = session.fetch(query).to_pylist()
    return _compared(rows)


def again(log: ibis.Table, policy: Policy) -> ibis.Table:
    """Return id, served and recomputed decision of rows of a prediction log, and whether only rounding parts them."""
    columns = {name: f"_value_{number}" for number, name in enumerate(policy.rule.options)}
    valued = policy.over(log, columns)
    valued = valued.mutate(**{_AGAIN: policy.decided(valued, columns)})
    chosen, best = (_value_of(valued[way], valued, columns) for way in (DECISION, _AGAIN))
    apart: Any = (chosen - best).abs()
    near = (apart <= _TOLERANCE * best.abs()).fill_null(False)
    return valued.select(PREDICTION, near=near, **{_SERVED: valued[DECISION], _AGAIN: valued[_AGAIN]})


def _value_of(decision: Any, table: ibis.Table, columns: Mapping[str, str]) -> Any:
    """Return the value of the option that was decided for."""
    return ibis.cases(*((decision == name, table[column]) for name, column in columns.items()))


def _compared(rows: list[dict[str, Any]]) -> FeatureParity:
    unequal = [row for row in rows if row[_SERVED] != row[_AGAIN] and not row["near"]]
    missing = sum(row[_SERVED] is None for row in unequal)
    extra = sum(row[_AGAIN] is None for row in unequal)
    return FeatureParity(
        name=NAME,
        reads=len(rows),
        equal=len(rows) - len(unequal),
        different=len(unequal) - missing - extra,
        missing=missing,
        extra=extra,
        example=min((row[PREDICTION] for row in unequal), default=None),
    )
