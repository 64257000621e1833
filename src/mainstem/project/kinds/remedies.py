"""Checks of remedies: each must name a source and a suitable verb. A remedy is never skipped silently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mainstem.errors import DefinitionError, UnknownName
from mainstem.nodes.base import Node
from mainstem.nodes.findings import Rule
from mainstem.nodes.sources import Source, Stream


def check_rules(rules: Iterable[Rule], nodes: Mapping[str, Node]) -> None:
    """Refuse a remedy that cannot be applied. Raises `UnknownName` or `DefinitionError`.

    Columns and their types are checked where a source is defined.
    """
    for rule in rules:
        where = f"remedies.toml, {rule.place}"
        if rule.node not in nodes:
            raise UnknownName.among("node", rule.node, nodes, where=where)
        _check(rule, nodes[rule.node], where)


def _check(rule: Rule, node: Node, where: str) -> None:
    verb = rule.verb
    if not isinstance(node, Source):
        raise DefinitionError(
            f"{rule.node!r} is not a source",
            where=where,
            got=str(node.origin),
            expected="a source or a stream: remedies correct what is collected",
            hint="correct the source of the column; `mainstem show NODE` lists it under lineage",
        )
    if verb.confined and (verb.fitted or verb.keeps_type):
        raise DefinitionError(
            f"a remedy cannot apply {verb.kind!r} to {rule.place!r}",
            where=where,
            got=verb.describe(),
            expected="a verb without fitted statistics, quarantine and fail",
            hint=f"{verb.confined}; declare it in a table: @ms.table(clean=[…])",
        )
    if not verb.keeps_type:
        hint = "declare the type in schema={…} of the source"
        raise DefinitionError(f"a remedy cannot change the type of {rule.column!r}", where=where, hint=hint)
    if added := [column for column in verb.changed if column not in verb.columns]:
        hint = "declare the verb in a table: @ms.table(clean=[…])"
        raise DefinitionError(
            f"a remedy cannot add the column {added[0]!r}", where=where, got=verb.describe(), hint=hint
        )
    if isinstance(node, Stream) and not verb.rowwise:
        raise DefinitionError(
            f"{verb.kind!r} cannot correct the stream {rule.node!r}",
            where=where,
            got=verb.describe(),
            expected="a verb that changes each event by itself",
            hint="declare it in a table over the stream",
        )
