"""Sinks: a run delivers what a release has and a target lacks, after the release is published."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mainstem.errors import DefinitionError, UnknownName
from mainstem.graph.fingerprint import canonical, digest
from mainstem.nodes.base import NodeRef
from mainstem.nodes.databases import Database
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.files import Files
from mainstem.nodes.hidden import visible
from mainstem.nodes.kafka import Kafka
from mainstem.nodes.sinks import Sink, relation_of, relations_of
from mainstem.planning.kinds import Due, due
from mainstem.planning.outlook import Outlook, Reason
from mainstem.project.kinds.base import NodeKind
from mainstem.project.kinds.canonical import plain_rule
from mainstem.project.kinds.scope import Scope
from mainstem.tables.memory import Memory


class SinkKind(NodeKind[Sink]):
    node_type = Sink
    is_data = False

    def references(self, node: Sink, memory: Memory | None = None) -> Sequence[NodeRef]:
        return [node.of]

    def define(self, name: str, node: Sink, inputs: tuple[str, ...], scope: Scope) -> Definition:
        of = scope.done[inputs[0]]
        if not isinstance(of.node, Endpoint):
            _check_columns(node, of)
        settings = [canonical([*node.key, None, *node.columns]), of.name, _target(node), *map(plain_rule, of.rules)]
        own = digest("sink", *settings)
        return Definition(name, node, inputs, own, own, own=own)

    def check(self, graph: Graph) -> None:
        """Refuse two sinks with one target."""
        seen: dict[str, str] = {}
        for name, node in graph.of(Sink).items():
            other = seen.setdefault(_target(node), name)
            if other != name:
                raise DefinitionError(
                    f"the sinks {other!r} and {name!r} have one target",
                    where=graph[name].where,
                    got=node.place,
                    expected="a target for each sink",
                    hint="ms.union(a, b) makes one table of two",
                )

    def due(self, name: str, node: Sink, outlook: Outlook) -> Iterable[Due]:
        return due("deliver", _reason(name, outlook), "outside")


def _target(node: Sink) -> str:
    """Return what identifies a target, without how it is reached."""
    match node.to:
        case Database():
            return canonical(["database", node.to.url, node.to.table])
        case Files():
            endpoint = node.to.storage.get("endpoint", "")
            return canonical(["files", endpoint, node.to.path, node.to.format, dict(node.to.options)])
        case Kafka():
            return canonical(["kafka", sorted(node.to.servers.split(",")), node.to.topic])


def _check_columns(node: Sink, of: Definition) -> None:
    """Refuse columns that the relation lacks, and a target that needs a key. Raises `UnknownName`."""
    if not of.is_relation:
        raise DefinitionError(
            f"{of.name!r} has no rows to deliver",
            got=type(of.node).__name__.lower(),
            expected="a table, a source, a stream or an endpoint",
        )
    schema = visible(of.schema or {})
    for column in (*node.key, *node.columns):
        if column not in schema:
            raise UnknownName.among("column", column, schema, of=of.name)
    key = node.key or getattr(of.node, "key", ())
    if not key and not isinstance(node.to, Files):
        raise DefinitionError(
            "the sink requires a key",
            got=f"{of.name!r} without key=",
            expected="the columns that identify a row",
            hint=f'key="…" of the sink or of {of.name!r}',
        )
    left_out = [column for column in key if node.columns and column not in node.columns]
    if left_out and not isinstance(node.to, Files):
        raise DefinitionError(
            f"`columns` lacks the key column {left_out[0]!r}", got=", ".join(node.columns), expected="all key columns"
        )


def _reason(name: str, outlook: Outlook) -> Reason | None:
    if outlook.situation.delivered is None:
        return None
    relation = relation_of(outlook.graph, name)
    of = outlook.graph[name].inputs[0]
    held, sent = outlook.release.tables.get(relation), outlook.situation.delivered.get(name)
    read = relations_of(outlook.graph, name)
    coming = [each for each in outlook.steps.values() if each.node in {of, *read} and each.effect == "data"]
    if sent is not None and sent.begun:
        return Reason("its last delivery did not end")
    if sent is None or sent.sent is None:
        return Reason("never delivered") if coming or held else None
    if sent.sent.fingerprint != outlook.graph[name].fingerprint:
        return Reason("its definition changed")
    tables = outlook.release.tables
    stored = {each: tables[each].id for each in read if each in tables}
    if held is not None and stored != sent.sent.ids:
        return Reason(f"{of} has rows that were not delivered")
    return Reason(f"{of} may have new data", if_changed=True) if coming else None
