"""Deliver the rows of a published relation to a target: every row once, whatever ends in between.

A target has the mark of what it has, and writes it together with the rows. The state has the snapshot of each mark that
may be there: that of the last delivery, and that of a delivery whose end is not known.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mainstem.errors import SinkError
from mainstem.nodes.databases import Database
from mainstem.nodes.deliveries import Delivery, delivery_id
from mainstem.nodes.files import Files
from mainstem.nodes.sinks import Sink, relation_of
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step
from mainstem.ports import Snapshot
from mainstem.sources.sinks.changes import load_of, rows_of
from mainstem.sources.sinks.load import Sent, Target


class Deliver:
    """The executor of `deliver` steps. `root` is the directory of the project `project`."""

    def __init__(self, root: Path, project: str) -> None:
        self.root, self.project = root, project

    def __call__(self, step: Step, context: Context) -> StepResult:
        """Bring a target to the snapshot that is published. Raises `SinkError`."""
        name, definition = step.node, context.graph[step.node]
        node: Sink = definition.node  # type: ignore[assignment]
        if relation_of(context.graph, name) not in context.release.tables:
            return StepResult(message="no rows yet")
        rows, id = rows_of(context, name), delivery_id(context.branch, name)
        last = context.state.get(Delivery, id) or Delivery(id, name)
        wanted = _mark(rows.snapshot, definition.fingerprint)
        if last.begun is None and _mark(last.snapshot, last.fingerprint) == wanted:
            return StepResult(message="nothing new")
        context.state.save(replace(last, begun=rows.snapshot))
        target = target_of(node, self.root, f"{self.project}/{name}")
        if target.keyed and not rows.key:
            raise SinkError("the sink requires a key", where=definition.where, hint='key="…" of the sink')
        sent = Sent(0)
        has = target.mark()
        if has != wanted:
            base = _base(has, last, rows.snapshot, definition.fingerprint, target)
            with load_of(context, name, rows, base, wanted, keyed=target.keyed) as load:
                sent = target.write(load)
        context.state.save(Delivery(id, name, definition.fingerprint, rows.snapshot))
        told = [f"{sent.removed:,} removed"] if sent.removed else []
        return StepResult(rows_in=sent.rows, published=sent.rows, message="; ".join([*told, f"to {node.place}"]))


def target_of(node: Sink, root: Path, name: str) -> Target:
    """Return the target of a sink. `name` identifies the sink there."""
    match node.to:
        case Database():
            from mainstem.sources.sinks.databases import database

            return database(node.to, root, name)
        case Files():
            from mainstem.sources.sinks.files import FileTarget

            return FileTarget(node.to, root, name.rpartition("/")[2])
    from mainstem.sources.sinks.kafka import KafkaTarget

    return KafkaTarget(node.to, root, name)


def _mark(snapshot: Snapshot | None, fingerprint: str) -> str:
    return f"{snapshot.id if snapshot else 0}-{fingerprint}"


def _base(has: str | None, last: Delivery, now: Snapshot, fingerprint: str, target: Target) -> Snapshot | None:
    """Return the snapshot that a target has; None if all rows have to be sent."""
    if has is None:
        same = last.fingerprint == fingerprint and not target.remembers
        return last.snapshot if same else None
    known = (each for each in (last.snapshot, last.begun) if each is not None)
    return next((each for each in known if _mark(each, fingerprint) == has), None)
