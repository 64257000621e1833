"""What an endpoint with candidates chooses from, and how, as its project declares it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.features.retrieval import retrieval_of
from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import Endpoint
from mainstem.serving.decisions.offers import Offering, Plan, Stored, plan_of
from mainstem.serving.decisions.policy import columns_of
from mainstem.serving.decisions.ranking import Ranking, ranking


@dataclass(frozen=True, eq=False)
class Choices:
    """The offer, the rule and the fallback of an endpoint, before candidates are read."""

    plan: Plan
    ranking: Ranking
    fallback: Plan | None

    @property
    def views(self) -> frozenset[str]:
        """The views that are read beside those of the model."""
        return self.plan.views | (frozenset() if self.fallback is None else self.fallback.views)

    def ready(self, stored: Stored) -> Chooser:
        """Return them with the rows of the candidates. Raises `Unavailable` for rows that cannot be offered."""
        needed = [*self.plan.fields, *self.ranking.compiled.columns, *self.ranking.groups]
        instead = None if self.fallback is None else self.fallback.ready(stored, needed)
        return Chooser(self.plan.ready(stored, needed), self.ranking, instead, self.sent)

    @property
    def sent(self) -> dict[str, str]:
        """The fields of a request that have lists of candidates, with their types."""
        return {**self.plan.sent, **({} if self.fallback is None else self.fallback.sent)}


@dataclass(frozen=True, eq=False)
class Chooser:
    """What an endpoint with candidates has: its offer, its rule, and its fallback.

    `sent` are the fields of a request that have lists of candidates, with their types.
    """

    offering: Offering
    ranking: Ranking
    fallback: Offering | None = None
    sent: Mapping[str, str] = field(default_factory=dict)

    @property
    def offerings(self) -> tuple[Offering, ...]:
        """The offer, and the fallback if there is one."""
        return (self.offering,) if self.fallback is None else (self.offering, self.fallback)


def choices_of(graph: Graph, endpoint: str) -> Choices | None:
    """Return what an endpoint chooses from, or None without `candidates=`. Raises `UnknownName` and `SchemaError`."""
    node: Any = graph[endpoint].node
    assert isinstance(node, Endpoint)
    if node.candidates is None:
        return None
    rule: Any = node.decide
    model, where = graph.name_of(node.model), str(node.origin)
    retrieval = retrieval_of(graph, model)
    plan = plan_of(graph, node.candidates, retrieval, where)
    fallback = None if node.fallback is None else plan_of(graph, node.fallback, retrieval, where)
    if fallback is not None and fallback.fields != plan.fields:
        raise SchemaError(
            "`fallback` brings other request fields than `candidates`",
            where=where,
            got=", ".join(sorted(fallback.fields)),
            expected=", ".join(sorted(plan.fields)),
        )
    if node.otherwise is not None and fallback is not None and fallback.listed and fallback.listed.lookup:
        raise DefinitionError(
            "a late request cannot read its fallback from a view",
            where=where,
            got=f"fallback=ms.candidates({fallback.listed.name}, …)",
            expected="a fallback of a table, of the request, or constants",
            hint='latency="20ms" alone does not act',
        )
    known = columns_of(graph, model, str(rule.origin))
    found = ranking(rule, {**plan.types, **known}, node.explore)
    for column in found.groups:
        for each, of in ((plan, "the candidates"), (fallback, "the fallback")):
            if each is not None and column not in each.types:
                raise UnknownName.among("column", column, each.types, of=of, where=str(rule.origin))
    return Choices(plan, found, fallback)
