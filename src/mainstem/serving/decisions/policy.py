"""The policy of an endpoint: its rule, compiled over request, features and score, and its version."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis

from mainstem.errors import DefinitionError, SchemaError, Unavailable, close_matches
from mainstem.features.retrieval import retrieval_of
from mainstem.graph.fingerprint import digest
from mainstem.graph.named import named
from mainstem.models.data.quantiles import label_of
from mainstem.models.training.blueprint import task_at_load
from mainstem.nodes.decisions import Cheapest, Decide
from mainstem.nodes.definition import Graph
from mainstem.nodes.hidden import QUOTAS
from mainstem.nodes.hidden import SCORES as LOGGED_SCORES
from mainstem.serving.decisions.expressions import SCORE, SCORES, Compiled, compile_values, flat
from mainstem.serving.decisions.ranking import Ranking

Values = Mapping[str, float | None]


@dataclass(frozen=True)
class Choice:
    """A decision, or None if no option has a value; and the flags that say what was unusual."""

    decision: str | None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Policy:
    """A rule with its compiled values. `fingerprint` is its version: it changes when its meaning does."""

    rule: Cheapest
    compiled: Compiled
    fingerprint: str

    def values(
        self, columns: Mapping[str, Sequence[Any]], scores: Sequence[Any], classed: Sequence[Values]
    ) -> list[Values]:
        """Return the value of each option, for rows of which the request's fields and features are columns.

        A value that is not finite is None.
        """
        read = {name: list(columns[name]) for name in self.compiled.columns if name in columns}
        read |= {SCORE: list(scores)} if SCORE in self.compiled.columns else {}
        read |= {flat(name): [each[name] for each in classed] for name in self.compiled.classes}
        found = self.compiled.batch(read, len(scores))
        return [
            {name: _finite(value) for name, value in zip(found, row, strict=True)}
            for row in zip(*found.values(), strict=True)
        ]

    def choose(self, values: Values, taken: Mapping[str, int]) -> Choice:
        """Choose by the values of the options, and how often each limited option was taken in the window."""
        usable = {name: value for name, value in values.items() if value is not None}
        flags = [f"unpriced:{name}" for name in values if name not in usable]
        for name in sorted(usable, key=lambda each: usable[each]):  # stable: of equal values, the first declared
            quota = self.rule.at_most.get(name)
            if quota is None or taken[name] < quota.count:
                return Choice(name, tuple(flags))
            flags.append(f"exhausted:{name}")
        return Choice(None, (*flags, "undecided"))

    def over(self, log: ibis.Table, columns: Mapping[str, str]) -> ibis.Table:
        """Return rows of a prediction log with the value of each option in a column; null if it is not finite."""
        scores = log[LOGGED_SCORES].cast("json")
        read = log.mutate(*named({flat(name): scores[path_of(name)].float for name in self.compiled.classes}))
        return self.priced(read, columns)

    def priced(self, read: ibis.Table, columns: Mapping[str, str]) -> ibis.Table:
        """Return rows that have all that the rule reads, scores as well, with the values of `over`."""
        found = self.compiled.over(read)
        finite = {name: (v.isnan() | v.isinf()).ifelse(ibis.null("float64"), v) for name, v in found.items()}
        return read.mutate(*named({columns[name]: value for name, value in finite.items()}))

    def decided(self, table: ibis.Table, values: Mapping[str, str]) -> ibis.Value:
        """Return the decision as an expression, over a table with the value of each option in a column and `QUOTAS`."""
        quotas = table[QUOTAS].cast("json")
        costs = {name: table[column] for name, column in values.items()}
        for name, quota in self.rule.at_most.items():
            left = quotas[name].int < quota.count
            costs[name] = left.ifelse(costs[name], ibis.null("float64"))
        lowest = ibis.least(*(cost.fill_null(math.inf) for cost in costs.values()))
        return ibis.cases(*((cost == lowest, name) for name, cost in costs.items()))


def path_of(name: str) -> str:
    """Return the JSON path of a key, whatever signs it has: alone, `a.b` would be read as a path itself."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'$."{quoted}"'


def policy_of(graph: Graph, endpoint: str) -> Policy | None:
    """Return the policy of an endpoint, or None without `decide=`. Raises `UnknownName` and `SchemaError`."""
    node: Any = graph[endpoint].node
    rule: Decide | None = node.decide
    if not isinstance(rule, Cheapest):
        return None
    return _cheapest(rule, columns_of(graph, graph.name_of(node.model), str(rule.origin)))


def columns_of(graph: Graph, model: str, where: str) -> dict[str, str]:
    """Return what a rule may read, with Ibis types: request fields, features, and `score` or `scores`.

    Raises `SchemaError` if a field or a feature has the name of the score.
    """
    retrieval = retrieval_of(graph, model)
    found = {**retrieval.request, **retrieval.columns}
    score = score_types(graph, model)
    for name in score.keys() & found.keys():
        raise SchemaError(
            f"a request field or a feature of {model!r} has the name {name!r}, which is the score in `decide`",
            where=where,
            hint="give the column of the examples another name",
        )
    return {**found, **score}


def score_types(graph: Graph, model: str) -> dict[str, str]:
    """Return what a rule may read of the scores, with Ibis types: of quantiles all of them, and the median."""
    task, node = task_at_load(graph, model), graph[model].node
    if task == "quantile":
        names = ", ".join(f"{label_of(level)}: float64" for level in getattr(node, "quantiles", ()))
        return {SCORE: "float64", SCORES: f"struct<{names}>"}
    return {SCORES: "map<string, float64>"} if task == "multiclass" else {SCORE: "float64"}


def _cheapest(rule: Cheapest, columns: Mapping[str, str]) -> Policy:
    compiled = compile_values(rule.options, columns, str(rule.origin))
    parts = [text for pair in compiled.fingerprints.items() for text in pair]
    limits = [f"{name} {quota.count}/{quota.every}" for name, quota in sorted(rule.at_most.items())]
    return Policy(rule, compiled, digest("cheapest", *parts, *limits))


def check_classes(policy: Policy | Ranking, classes: Sequence[str], version: str) -> None:
    """Refuse a policy that reads the score of a class that a version does not know. Raises `Unavailable`."""
    for name in policy.compiled.classes:
        if name not in classes:
            raise Unavailable(
                f"the decision reads the score of an unknown class {name!r}",
                where=str(policy.rule.origin),
                got=name,
                expected=f"a class of {version}: {', '.join(classes)}",
                hint=close_matches(name, classes),
            )


def check_latency(policy: Policy | Ranking, latency: str | None) -> None:
    """Refuse values that only the engine can compute if the endpoint has a latency. Raises `DefinitionError`."""
    if latency is not None:
        for name, operation in policy.compiled.function.fallbacks.items():
            raise DefinitionError(
                f"the value of {name!r} is too slow for an endpoint with latency={latency!r}",
                where=str(policy.rule.origin),
                got=f"{operation}, which only the engine can compute, in a millisecond or more",
                expected="the compiled operations: docs/features-and-time.md lists them",
                hint="write it with these operations, or omit latency=",
            )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
