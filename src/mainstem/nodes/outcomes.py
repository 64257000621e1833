"""A target that takes time: `ms.outcome(_.received_at.notnull(), after="45d")`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mainstem.nodes.base import Deferred, Origin
from mainstem.nodes.declared import declared
from mainstem.nodes.durations import microseconds
from mainstem.nodes.expressions import names_in
from mainstem.nodes.kinds import calculation, positive_duration


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """A condition that may become true later. It is false if it has not when `after` has passed."""

    happened: Deferred
    after: str
    origin: Origin = field(default_factory=Origin.of_caller)

    @property
    def names(self) -> frozenset[str]:
        """The columns that the condition reads."""
        return names_in(self.happened)

    @property
    def micros(self) -> int:
        """`after` in microseconds."""
        return microseconds(self.after)

    def __repr__(self) -> str:
        return f"{self.happened!r} within {self.after}"


@declared(happened=calculation(), after=positive_duration)
def outcome(happened: Deferred, *, after: str) -> Outcome:
    """Declare a target that takes time, for `ms.model(target=…)`.

    `happened` is a condition over the examples. A row is true as soon as it holds, and false if it does not hold when
    `after` has passed since the prediction time (of a model without one, since the examples' time). Before, the row has
    no label. A model learns from rows only when `after` has passed.
    """
    return Outcome(happened=happened, after=after)


def condition_of(target: Any) -> Deferred:
    """Return what a target reads: the condition of an outcome, or the target itself."""
    return target.happened if isinstance(target, Outcome) else target
