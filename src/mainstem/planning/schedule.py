"""Which steps of a plan run side by side, and in which order they start."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from urllib.parse import urlsplit

from mainstem.nodes.definition import Graph
from mainstem.planning.plan import Plan, Step

OF_SOURCES = frozenset({"collect", "drain"})
"""Kinds of steps that bring data in. They do not depend on the schemas of each other."""

SIDE_BY_SIDE = frozenset({"collect", "build"})
"""Kinds of steps that only write snapshots of their own tables. Every other step runs alone: it writes to the online
store, or uses all cores."""


def width(plan: Plan) -> int:
    """Return how many steps of a plan may run at once, at most: the steps with the same number of steps before them."""
    depth: dict[str, int] = {}
    for step in plan.steps:
        depth[step.key] = 1 + max((depth[need] for need in step.needs if need in depth), default=0)
    levels = Counter(depth[step.key] for step in plan.steps if step.kind in SIDE_BY_SIDE)
    return max(levels.values(), default=1)


class Schedule:
    """The steps of a plan that have not started. Steps that run side by side start first, in the order of the plan.

    A step that runs alone starts when no other step runs, and none could start beside it. So the order does not depend
    on how long steps take, except among those that run side by side.
    """

    def __init__(self, plan: Plan, graph: Graph, workers: int) -> None:
        self._graph, self._workers = graph, workers
        self._steps = plan.steps
        self._number = {step.key: number for number, step in enumerate(plan.steps)}
        self._open = [sum(need in self._number for need in step.needs) for step in plan.steps]
        self._users: list[list[int]] = [[] for _ in plan.steps]
        for number, step in enumerate(plan.steps):
            for need in step.needs:
                if need in self._number:
                    self._users[self._number[need]].append(number)
        self._running: dict[int, Step] = {}
        self._beside: list[int] = []
        self._alone: list[int] = []
        self._only: frozenset[str] | None = None
        for number, count in enumerate(self._open):
            if not count:
                self._add(number)

    def start(self) -> Step | None:
        """Return a step that starts now. None if none can, before another one has ended."""
        number = self._next()
        if number is None:
            return None
        self._running[number] = self._steps[number]
        return self._steps[number]

    def end(self, step: Step) -> None:
        """Note that a step has ended, however it ended: those that need it may start."""
        number = self._number[step.key]
        del self._running[number]
        for user in self._users[number]:
            self._open[user] -= 1
            if not self._open[user]:
                self._add(user)

    def only(self, kinds: frozenset[str]) -> None:
        """Start only steps of these kinds from now on."""
        self._only = kinds
        for waiting in (self._beside, self._alone):
            waiting[:] = [number for number in waiting if self._steps[number].kind in kinds]

    def _add(self, number: int) -> None:
        if self._only is not None and self._steps[number].kind not in self._only:
            return
        insort(self._beside if self._steps[number].kind in SIDE_BY_SIDE else self._alone, number)

    def _next(self) -> int | None:
        if len(self._running) < self._workers and all(s.kind in SIDE_BY_SIDE for s in self._running.values()):
            busy = {_place(step, self._graph) for step in self._running.values()} - {None}
            for number in self._beside:
                if _place(self._steps[number], self._graph) not in busy:
                    self._beside.remove(number)
                    return number
        return self._alone.pop(0) if self._alone and not self._running else None


def _place(step: Step, graph: Graph) -> str | None:
    """Return the server that a source is collected from: one step at a time asks it."""
    url = getattr(graph[step.node].node, "url", None) if step.node in graph else None
    return (urlsplit(url).netloc or None) if isinstance(url, str) else None
