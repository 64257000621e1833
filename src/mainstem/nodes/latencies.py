"""How long an answer may take, and what is answered once that time has passed."""

from __future__ import annotations

from dataclasses import dataclass

from mainstem.nodes.base import refused
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import anything, positive_duration
from mainstem.nodes.overrides import FALLBACK

LATE = "late"
"""The flag of an answer whose latency passed before it was decided."""


@dataclass(frozen=True)
class Latency:
    """The time limit of an answer, `within`, and the decision that is given once it has passed."""

    within: str
    otherwise: bool | str


@declared(within=positive_duration, otherwise=anything)
def latency(within: str, *, otherwise: bool | str) -> Latency:
    """Answer within a time, for `ms.endpoint(latency=…)`: once it has passed without a decision, `otherwise` is given.

    `otherwise` is an option of `ms.cheapest`, True or False of an endpoint with a threshold, or `"fallback"` of an
    endpoint with `candidates=`: its declared `fallback` answers, in its order and without scores. The answer has the
    flags `late` and `fallback`. Raises `DefinitionError` unless `within` is a positive duration, and `otherwise` a text
    or a boolean.
    """
    if not isinstance(otherwise, bool) and not (isinstance(otherwise, str) and otherwise.strip()):
        raise refused("`otherwise` is not a decision", otherwise, f'"review", True or False, or "{FALLBACK}"')
    return Latency(within, otherwise)
