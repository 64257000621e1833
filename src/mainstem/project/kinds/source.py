"""Sources: a schema, availability, and remedies that are applied on reading. A run collects them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from mainstem.errors import SchemaError
from mainstem.graph.fingerprint import canonical, digest, of_expression, of_function
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.hidden import GONE, SEQ, STREAM
from mainstem.nodes.sources import Source
from mainstem.planning.kinds import Due, due
from mainstem.planning.outlook import OBSERVED, UNTOLD, Outlook, Reason
from mainstem.planning.sampling import SAMPLED, told
from mainstem.project.kinds.base import NodeKind
from mainstem.project.kinds.canonical import plain, plain_rule
from mainstem.project.kinds.relations import check_columns, check_foreign_keys, types_of, unbound
from mainstem.project.kinds.scope import Scope
from mainstem.project.knowledge import known_of_source
from mainstem.tables.corrections import corrected
from mainstem.tables.guards import guard

if TYPE_CHECKING:
    import ibis

S = TypeVar("S", bound=Source)

_ASIDE = (
    *("known", "limits", "contract", "write", "lag", "deleted", "tls", "storage"),
    *("from_", "servers", "settings", "registry", "start", "expired"),
    *("auth", "method", "body", "next", "follow", "depth", "resource", "spider"),
)
"""What is not part of a fingerprint as it is declared: how a source is reached or judged, not what its rows are."""


class AnySource(NodeKind[S], Generic[S]):
    """The common part of collected sources and streams."""

    def define(self, name: str, node: S, inputs: tuple[str, ...], scope: Scope) -> Definition:
        schema = dict(scope.schemas.get(name) or node.schema or {})
        if not schema:
            raise SchemaError("the source has no schema yet", hint="mainstem run, or schema={…}")
        check_columns(node, schema)
        stored = unbound(name, {**schema, **{column: STREAM[column] for column in self.hidden(node)}})
        evolved = scope.evolved.get(name, {})
        unlocked = [column for column, (was, _) in evolved.items() if was is None]
        known = known_of_source(node, unbound(name, schema), unlocked)
        later = _later(node, unbound(name, schema))
        fingerprint = digest("source", plain(node, but=_ASIDE), canonical(schema), *later)
        declared = digest(fingerprint, canonical({c: str(k) for c, k in known.items()}))
        read = [scope.done[each].read_fingerprint for each in inputs]
        rules = tuple(rule for rule in scope.rules if rule.node == name)
        events = corrected(self.events(name, node, inputs, stored, scope), rules)
        for rule in rules:
            guard(events, rule.guard, f"remedies.toml, {rule.place}, guard")
        retracts = GONE in events.columns
        return Definition(
            name,
            node,
            inputs,
            fingerprint,
            digest(declared, *read, *map(plain_rule, rules)),
            schema=types_of(stored),
            read=events.filter(events[GONE].isnull()).drop(GONE) if retracts else events,
            known=known,
            columns={column: (f"{name}.{column}",) for column in schema},
            versions=events if retracts else None,
            rules=rules,
            declared=declared,
            own=declared,
            evolved=evolved,
        )

    def check(self, graph: Graph) -> None:
        check_foreign_keys(graph, self.node_type)

    def hidden(self, node: S) -> Sequence[str]:
        """Return the hidden columns that are stored in addition to the schema."""
        return [SEQ] if node.time else []

    def events(self, name: str, node: S, inputs: tuple[str, ...], stored: ibis.Table, scope: Scope) -> ibis.Table:
        """Return all rows that ever existed, before remedies; with `_gone` if they can be retracted."""
        return stored


def _later(node: Source, table: ibis.Table) -> list[str]:
    """Return settings that came later, so that fingerprints of sources without them last. Raises `SchemaError` for a
    mark of deleted rows that is not a condition."""
    from mainstem.nodes.expressions import resolve_boolean

    deleted = getattr(node, "deleted", None)
    marks = [] if deleted is None else [of_expression(resolve_boolean(table, deleted))]
    posted = [canonical(getattr(node, "body", None) or {})] if getattr(node, "method", "GET") == "POST" else []
    ways = [str(getattr(node, name, None)) for name in ("next", "follow", "depth")]
    posted += [canonical(ways)] if ways[:2] != ["None", "None"] else []
    resource = getattr(node, "resource", None)
    posted += [] if resource is None else [f"{resource.section}.{resource.name}"]
    spider = getattr(node, "spider", None)
    posted += [] if spider is None else [of_function(spider)]
    return (["merge"] if getattr(node, "merges", False) else []) + marks + posted


class CollectedKind(AnySource[Source]):
    node_type = Source

    def due(self, name: str, node: Source, outlook: Outlook) -> Iterable[Due]:
        reason = outlook.unmade(name, "never collected") or _sampled(name, outlook)
        reason = reason or reingested(name, outlook) or observed(name, outlook)
        return due("collect", reason, "data")


def _sampled(name: str, outlook: Outlook) -> Reason | None:
    wanted = told(outlook.graph, outlook.situation.sample, name)
    if outlook.release.tables[name].properties.get(SAMPLED) == wanted:
        return None
    return Reason(f"a sample: {wanted}" if wanted else "all rows again, not a sample")


def reingested(name: str, outlook: Outlook) -> Reason | None:
    """Return the reason to take in again what was set aside of a source, if that is asked for."""
    return Reason("rows that were set aside come in again") if name in outlook.situation.reingest else None


def observed(name: str, outlook: Outlook) -> Reason | None:
    """Return the reason to read a source again: it may have changed since it was read."""
    seen = outlook.situation.observed.get(name)
    if seen is None:
        return Reason(UNTOLD)
    changed = outlook.release.tables[name].properties.get(OBSERVED) != seen
    return Reason("the source has changed") if changed else None
