"""Choose among candidates: the best one or a list, by a compiled value."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mainstem.errors import UnknownName
from mainstem.graph.fingerprint import digest
from mainstem.nodes.decisions import Best, Top
from mainstem.nodes.exploring import Epsilon
from mainstem.serving.decisions.exploring import Explored, explore
from mainstem.serving.decisions.expressions import SCORE, Compiled, compile_values, flat

VALUE, WHERE = "value", "where"


@dataclass(frozen=True, eq=False)
class Ranking:
    """`ms.best` or `ms.top`, compiled. `fingerprint` is its version. With `epsilon`, the last place is explored."""

    rule: Best | Top
    compiled: Compiled
    fingerprint: str
    epsilon: Epsilon | None = None

    @property
    def groups(self) -> Mapping[str, int]:
        """The most candidates of one value of a column, by column."""
        return self.rule.at_most if isinstance(self.rule, Top) else {}

    @property
    def count(self) -> int:
        """The most candidates that are chosen."""
        return self.rule.count if isinstance(self.rule, Top) else 1

    def values(self, columns: Mapping[str, Sequence[Any]], scores: Sequence[Any], classed: Sequence[Any]) -> list[Any]:
        """Return the value of each candidate. It is None if `where` is not true, or the value null or not finite."""
        read = {name: list(columns[name]) for name in self.compiled.columns if name in columns}
        read |= {SCORE: list(scores)} if SCORE in self.compiled.columns else {}
        read |= {flat(name): [each[name] for each in classed] for name in self.compiled.classes}
        found = self.compiled.batch(read, len(scores))
        values = [v if v is not None and math.isfinite(v) else None for v in found[VALUE]]
        if WHERE not in found:
            return values
        return [v if allowed else None for v, allowed in zip(values, found[WHERE], strict=True)]

    def chosen(self, values: Sequence[float | None], columns: Mapping[str, Sequence[Any]]) -> list[int]:
        """Return the numbers of the chosen candidates, best first. Of equal values, the first offered comes first."""
        usable = [n for n, value in enumerate(values) if value is not None]
        return self.first(sorted(usable, key=lambda n: -_number(values[n])), columns)

    def explored(
        self, chosen: Sequence[int], values: Sequence[float | None], columns: Mapping[str, Sequence[Any]], id: str
    ) -> Explored:
        """Return which candidate gets the last place of what was `chosen`: one that the bounds allow there."""
        assert self.epsilon is not None
        *kept, last = chosen
        taken = Counter((column, columns[column][n]) for n in kept for column in self.groups)
        lowest = -math.inf
        if self.epsilon.within is not None:
            lowest = _number(values[last]) - self.epsilon.within * abs(_number(values[last]))
        eligible = [
            n
            for n, value in enumerate(values)
            if value is not None
            and value >= lowest
            and n not in kept
            and all(taken[column, columns[column][n]] < most for column, most in self.groups.items())
        ]
        return explore(self.epsilon, last, eligible, id)

    def first(self, order: Iterable[int], columns: Mapping[str, Sequence[Any]]) -> list[int]:
        """Return the first candidates of an order, within the bounds of groups."""
        found, taken = list[int](), Counter[tuple[str, Any]]()
        for n in order:
            groups = [(column, columns[column][n]) for column in self.groups]
            if all(taken[group] < self.groups[group[0]] for group in groups):
                taken.update(groups)
                found.append(n)
            if len(found) == self.count:
                break
        return found


def ranking(rule: Best | Top, columns: Mapping[str, str], epsilon: Epsilon | None = None) -> Ranking:
    """Return a compiled rule over `columns` (name → Ibis type). Raises `UnknownName` and `SchemaError` at its line."""
    where = str(rule.origin)
    written = {VALUE: rule.by} if isinstance(rule, Top) else {VALUE: rule.value}
    if isinstance(rule, Best) and rule.where is not None:
        written[WHERE] = rule.where
    compiled = compile_values(written, columns, where, conditions=frozenset({WHERE}))
    parts = [text for pair in compiled.fingerprints.items() for text in pair]
    found = Ranking(rule, compiled, "")
    for column in found.groups:
        if column not in columns:
            raise UnknownName.among("column", column, columns, of="at_most", where=where)
    bounds = [f"{column} {most}" for column, most in sorted(found.groups.items())]
    trial = [] if epsilon is None else [f"{epsilon.share:g} within {epsilon.within}"]
    return Ranking(rule, compiled, digest(type(rule).__name__, str(found.count), *parts, *bounds, *trial), epsilon)


def _number(value: float | None) -> float:
    assert value is not None
    return value
