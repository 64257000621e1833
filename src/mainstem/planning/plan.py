"""A plan as data: ordered steps from the state a branch is in to the state the project declares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mainstem.ports import Interval

StepKind = str
"""A word that names the executor. Mainstem's own, in the order of the house: `collect` a source, `drain` a log into the
lake, `build` a table, `materialise` a view online, `train` a challenger, `promote` it where an endpoint declares
`promote="gate"`, `monitor` an endpoint, `attribute` what it loses."""

Effect = Literal["data", "online", "model", "none"]
"""What a step gives its node: rows in the lake, online state, a model version; or none of these, as a verdict does."""


@dataclass(frozen=True)
class Step:
    """One change: `kind` of work on `node`, why, and the steps (by key) whose success it needs.

    `if_changed` marks a step whose only reason is that its inputs may change in this run: if not, it is left out.
    A step with an `effect` brings its node to the declared state; with an `interval`, that part of it.
    """

    kind: StepKind
    node: str
    reason: str
    needs: tuple[str, ...] = ()
    if_changed: bool = False
    effect: Effect = "data"
    interval: Interval | None = None

    @property
    def key(self) -> str:
        """`build legs`: unique within a plan."""
        return f"{self.kind} {self.node}"


@dataclass(frozen=True)
class Plan:
    """The steps of one run on one branch, in an order that respects what they need; nodes `unchanged` beside them."""

    branch: str
    steps: tuple[Step, ...]
    unchanged: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)
