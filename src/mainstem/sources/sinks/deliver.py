"""Deliver the rows of a published relation to a target: every row once, whatever ends in between.

A target has the mark of what it has, and writes it together with the rows. The state has the snapshots of each mark
that may be there: those of the last delivery, and those of deliveries whose end is not known. The mark is read before
the state learns of another delivery, so that what the target has is always among them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mainstem.errors import SinkError
from mainstem.nodes.databases import Database
from mainstem.nodes.definition import Definition
from mainstem.nodes.deliveries import Delivery, Held, delivery_id
from mainstem.nodes.files import Files
from mainstem.nodes.sinks import Sink, relation_of
from mainstem.planning.execution import Context, StepResult
from mainstem.planning.plan import Step
from mainstem.sources.sinks.changes import Rows, load_of, rows_of
from mainstem.sources.sinks.load import Sent, Target, other_key

ATTEMPTS = 5
"""How often a delivery begins again because another one, such as that of a killed process, ended meanwhile."""


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
        wanted = Held(rows.snapshots, definition.fingerprint, rows.key)
        if not last.begun and last.sent is not None and last.sent.mark == wanted.mark:
            return StepResult(message="nothing new")
        target = target_of(node, self.root, f"{self.project}/{name}")
        if target.keyed and not rows.key:
            raise SinkError("the sink requires a key", where=definition.where, hint='key="…" of the sink')
        sent = self._brought(context, definition, rows, wanted, target)
        context.state.save(Delivery(id, name, wanted, place=target.place()))
        told = [f"{sent.removed:,} removed"] if sent.removed else []
        return StepResult(rows_in=sent.rows, published=sent.rows, message="; ".join([*told, f"to {node.place}"]))

    def _brought(self, context: Context, definition: Definition, rows: Rows, wanted: Held, target: Target) -> Sent:
        """Bring a target to what is wanted. Return what was written."""
        name, id = definition.name, delivery_id(context.branch, definition.name)
        for _ in range(ATTEMPTS):
            last = context.state.get(Delivery, id) or Delivery(id, name)
            has, place = target.mark(), target.place()
            if has == wanted.mark:
                return Sent(0)
            last = _narrowed(last, has, place, target)
            _refuse_key(last.held, rows, definition, target)
            begun = tuple(each for each in last.begun if each.mark != wanted.mark)
            context.state.save(replace(last, begun=(*begun, wanted), place=place))
            with load_of(context, name, rows, last, has, wanted, keyed=target.keyed) as load:
                if (sent := target.write(load)) is not None:
                    return sent
        raise SinkError(
            "other deliveries to the target end while this one is made",
            where=definition.where,
            expected="one project, and one run of it, that writes to the target",
        ).passing()


def target_of(node: Sink, root: Path, name: str) -> Target:
    """Return the target of a sink. `name` identifies the sink there."""
    match node.to:
        case Database():
            from mainstem.sources.sinks.databases import database

            return database(node.to, root, name)
        case Files():
            from mainstem.sources.sinks.files import FileTarget

            return FileTarget(node.to, root, name)
    from mainstem.sources.sinks.kafka import KafkaTarget

    return KafkaTarget(node.to, root, name)


def _narrowed(last: Delivery, has: str | None, place: str, target: Target) -> Delivery:
    """Return the record with what a target may have, given its mark; all of it if the target may forget its mark."""
    marked = next((each for each in last.held if each.mark == has), None)
    if marked is None and last.place == place and not target.remembers:
        return last
    return Delivery(last.id, last.sink, marked)


def _refuse_key(held: tuple[Held, ...], rows: Rows, definition: Definition, target: Target) -> None:
    """Refuse another key for a target that cannot remove rows by the former one, and does not see to it itself."""
    former = next((each.key for each in held if each.key != rows.key), None)
    if target.keyed and not target.remembers and former is not None:
        raise other_key(", ".join(former), rows.key, definition.where, "another topic gets all rows by the new key")
