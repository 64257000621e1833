"""A plan as data: ordered steps from the branch's state to the state that the project declares."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mainstem.errors import DefinitionError
from mainstem.nodes.changes import Changed
from mainstem.nodes.records import Sample
from mainstem.ports import Interval

StepKind = str
"""The name of an executor. The built-in ones, in order: `collect` a source, `drain` a log into the lake, `build` a
table, `materialise` a view online, `train` a challenger, `score` a table, `promote` a challenger if an endpoint
declares `promote="gate"`, `monitor` an endpoint, `attribute` its loss, `deliver` to a sink after the release is
published."""

Effect = Literal["data", "online", "model", "outside", "none"]
"""What a step makes for its node: rows in the lake, online state, a model version, rows outside that are written after
the release is published; or none of these, as for a verdict."""


@dataclass(frozen=True)
class Step:
    """One step: a `kind` of work on `node`, its reason, and the steps (by key) that must succeed before it.

    `if_changed` marks a step whose only reason is that its inputs may change in this run; without a change it is
    skipped. A step with an `effect` brings its node to the declared state; with an `interval`, that part of it.
    `details` say what the step does to the rows, such as its cleaning verbs.
    """

    kind: StepKind
    node: str
    reason: str
    needs: tuple[str, ...] = ()
    if_changed: bool = False
    effect: Effect = "data"
    interval: Interval | None = None
    details: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """`build legs`: unique within a plan."""
        return f"{self.kind} {self.node}"


@dataclass(frozen=True)
class Plan:
    """The steps of a run on a branch, in dependency order, and the `unchanged` nodes. `rolled_back` is the release that
    the published one took back, unless the run goes forward from there.

    `changed` are the definitions that steps are due to, if they were asked for. `sample` is what the branch works on,
    if not on all rows. `broken` are the errors of views, models and endpoints that a run leaves out.
    """

    branch: str
    steps: tuple[Step, ...]
    unchanged: tuple[str, ...] = ()
    rolled_back: str | None = None
    changed: tuple[Changed, ...] = ()
    sample: Sample | None = None
    broken: tuple[DefinitionError, ...] = ()

    def covers(self, nodes: Iterable[str]) -> bool:
        """Return whether the plan considered all of these nodes: each has a step or is unchanged."""
        return not self.broken and {step.node for step in self.steps}.union(self.unchanged).issuperset(nodes)

    def __bool__(self) -> bool:
        return bool(self.steps)
