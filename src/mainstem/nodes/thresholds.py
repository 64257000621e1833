"""How a model's threshold is set: `ms.threshold(cost=…)`, `ms.threshold("precision >= 0.8")`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mainstem.errors import DefinitionError, close_matches
from mainstem.nodes.base import Origin
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import is_number, mapping, optional, text

COSTS = ("false_positive", "false_negative", "true_positive", "true_negative")
AT_LEAST, AT_MOST = ("precision", "recall"), ("fallout", "flagged")
_CONSTRAINT = re.compile(r"\s*(\w+)\s*(>=|<=)\s*([0-9.eE+-]+)\s*")


@dataclass(frozen=True)
class Threshold:
    """A rule for the threshold of a binary model: the lowest mean `cost` of a row, or a bound of one measure.

    With `precision >= …`, `fallout <= …` or `flagged <= …` recall is the highest that the bound allows; with
    `recall >= …` precision is. `fallout` is the share of false rows that are flagged, `flagged` that of all rows.
    """

    measure: str = ""
    bound: float = 0.0
    cost: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        if self.cost:
            return "lowest cost, " + ", ".join(f"{name} {value:g}" for name, value in self.cost)
        return f"{self.measure} {'>=' if self.measure in AT_LEAST else '<='} {self.bound:g}"


def _price(name: str, value: object) -> None:
    if not is_number(value):
        raise DefinitionError(f"`{name}` must be a number", where=str(Origin.of_caller()), got=repr(value))


@declared(constraint=optional(text), cost=optional(mapping(_price, at_least=1)))
def threshold(constraint: str | None = None, *, cost: Mapping[str, float] | None = None) -> Threshold:
    """Return how to set a binary model's threshold on its validation rows, for `ms.model(threshold=…)`.

    `cost` is what a decision costs: `{"false_positive": 1, "false_negative": 10}`; a gain is negative, and what is left
    out costs nothing. `constraint` is a bound: `precision >= 0.8`, `recall >= 0.9`, `fallout <= 0.05` (the share of
    negative rows that are flagged) or `flagged <= 0.1` (of all rows).

    Raises `DefinitionError` for another constraint or cost, and for both or neither.
    """
    if (constraint is None) == (cost is None):
        raise _refused("a threshold needs a constraint or `cost`", "both" if cost else "neither")
    if cost is not None:
        for name in cost:
            if name not in COSTS:
                raise _refused(f"unknown cost {name!r}", name, ", ".join(COSTS), close_matches(name, COSTS))
        if not any(cost.values()):
            raise _refused("every decision costs nothing", repr(dict(cost)), "a cost other than 0")
        return Threshold(cost=tuple((name, float(cost[name])) for name in COSTS if name in cost))
    return _bound(constraint or "")


def _bound(written: str) -> Threshold:
    expected = "precision >= 0.8, recall >= 0.9, fallout <= 0.05 or flagged <= 0.1"
    found = _CONSTRAINT.fullmatch(written)
    if found is None:
        raise _refused("the constraint cannot be read", repr(written), expected)
    measure, sign, number = found.groups()
    known = (*AT_LEAST, *AT_MOST)
    if measure not in known:
        raise _refused(f"unknown measure {measure!r}", repr(written), ", ".join(known), close_matches(measure, known))
    if sign != (">=" if measure in AT_LEAST else "<="):
        raise _refused(f"a constraint of {measure} is the other way", repr(written), expected)
    try:
        bound = float(number)
    except ValueError:
        raise _refused("the constraint cannot be read", repr(written), expected) from None
    if not 0 < bound < 1:
        raise _refused("the bound must be above 0 and below 1", repr(written), expected)
    return Threshold(measure, bound)


def _refused(what: str, got: str, expected: str = "one of them", hint: str | None = None) -> DefinitionError:
    return DefinitionError(what, where=str(Origin.of_caller()), got=got, expected=expected, hint=hint)
