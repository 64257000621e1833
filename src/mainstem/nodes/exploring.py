"""How often a decision tries another candidate than the best: `ms.epsilon(0.05, within="3%")`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mainstem.nodes.base import refused
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import number, optional, text

_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")


@dataclass(frozen=True)
class Epsilon:
    """A `share` of answers takes a random candidate; those whose value is `within` this share of the best one's."""

    share: float
    within: float | None = None


@declared(share=number(0, 1), within=optional(text))
def epsilon(share: float, *, within: str | None = None) -> Epsilon:
    """Explore in a share of answers, for `ms.endpoint(explore=…)`: take a candidate at random.

    `within="3%"` takes only candidates whose value is at most 3 % of the best value below it. Raises `DefinitionError`
    for a text that is not a percentage.
    """
    if within is None:
        return Epsilon(share)
    found = _PERCENT.fullmatch(within)
    if found is None or float(found[1]) == 0:
        raise refused("`within` cannot be read", within, 'a percentage above zero: "3%"')
    return Epsilon(share, float(found[1]) / 100)
