"""The steps of a plan that write outside: they are executed after the release is published, and do not undo it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mainstem.errors import DeliveryFailed, MainstemError
from mainstem.nodes.records import RunRecord
from mainstem.planning.plan import Plan


def inside(plan: Plan) -> Plan:
    """Return the plan without the steps that write outside."""
    return replace(plan, steps=tuple(step for step in plan.steps if step.effect != "outside"))


def outside(plan: Plan) -> Plan:
    """Return the plan of the steps that write outside. What they need has been published before."""
    return replace(plan, steps=tuple(replace(step, needs=()) for step in plan.steps if step.effect == "outside"))


def undelivered(record: RunRecord, causes: Sequence[MainstemError]) -> DeliveryFailed:
    """Return the error of a published run, of which deliveries failed with `causes`."""
    failed = ", ".join(step.node for step in record.steps if step.status == "failed")
    error = DeliveryFailed(
        f"{failed} could not be delivered; the release is published",
        where=f"run {record.id} on branch {record.branch}",
        got="\n".join(map(str, causes)),
        hint="correct the cause; the next run delivers again",
    )
    error.run, error.causes = record, tuple(causes)
    return error
