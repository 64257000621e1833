"""Try a step again after an error that may pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from mainstem.errors import MainstemError
from mainstem.nodes.definition import Graph
from mainstem.planning.execution import Context, Executor, StepResult
from mainstem.planning.plan import Step

LONGEST = 60.0
"""Seconds between two attempts, at most."""


@dataclass(frozen=True)
class Retries:
    """How often a step is tried again, unless its node says otherwise, and after how many seconds at first. The wait
    doubles each time."""

    count: int = 0
    wait: float = 1.0

    def of(self, node: str, graph: Graph) -> int:
        own: int | None = getattr(graph[node].node, "retries", None) if node in graph else None
        return self.count if own is None else own


class Tried(NamedTuple):
    """The result of a step or its last error, and the number of attempts."""

    outcome: StepResult | MainstemError
    attempts: int


T = TypeVar("T")


def repeated(call: Callable[[], T], count: int, wait: float, sleep: Callable[[float], None] = time.sleep) -> T:
    """Return the result of a call that is made again, up to `count` times, while its error may pass.

    Raises the last error.
    """
    for attempt in range(count + 1):
        try:
            return call()
        except MainstemError as problem:
            if not problem.transient or attempt == count:
                raise
        sleep(min(wait * 2**attempt, LONGEST))
    raise AssertionError(count)


def tried(
    executor: Executor, step: Step, context: Context, retries: Retries, sleep: Callable[[float], None] = time.sleep
) -> Tried:
    """Execute a step, and again while its error may pass and retries are left."""
    left, attempts, wait = retries.of(step.node, context.graph), 1, retries.wait
    while True:
        try:
            return Tried(executor(step, context), attempts)
        except MainstemError as problem:
            if not problem.transient or attempts > left:
                return Tried(problem, attempts)
            context.report(f"attempt {attempts} of {left + 1} failed: {problem.what}; again in {wait:g} s")
        sleep(wait)
        attempts, wait = attempts + 1, min(2 * wait, LONGEST)
