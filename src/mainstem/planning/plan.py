"""A plan as data: ordered steps from the state a branch is in to the state the project declares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StepKind = Literal["collect", "drain", "build", "materialise", "train", "promote", "monitor", "attribute"]
"""In the order of the house: read a source, drain a log into the lake, build a table, bring a view online, train a
challenger, ship it where an endpoint declares `promote="gate"`, judge an endpoint, attribute what it loses."""


@dataclass(frozen=True)
class Step:
    """One change: `kind` of work on `node`, why, and the steps (by key) whose success it needs.

    `if_changed` marks a step whose only reason is that its inputs may change in this run: if not, it is left out.
    """

    kind: StepKind
    node: str
    reason: str
    needs: tuple[str, ...] = ()
    if_changed: bool = False

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
