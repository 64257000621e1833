"""Threads that work on steps side by side, and report to the thread that runs the plan."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

R = TypeVar("R")

GRACE = 2.0
"""Seconds that an interrupted run waits for its threads. They do not keep the process alive."""


class Workers(Generic[R]):
    """Threads for tasks whose messages and results are handled in the thread that calls `wait`."""

    def __init__(self) -> None:
        self._said: SimpleQueue[Callable[[], R | None]] = SimpleQueue()
        self._threads: set[threading.Thread] = set()

    def begin(self, name: str, task: Callable[[], R]) -> None:
        """Begin a task in a thread of its own."""

        def work() -> None:
            try:
                result = task()
            except BaseException as problem:
                self._said.put(_raising(problem))
            else:
                self._said.put(lambda: result)

        thread = threading.Thread(target=work, name=f"mainstem-{name}", daemon=True)
        self._threads.add(thread)
        thread.start()

    def tell(self, handle: Callable[[], object]) -> None:
        """Let `wait` call `handle`. Tasks call this."""

        def handled() -> None:
            handle()

        self._said.put(handled)

    def wait(self) -> R:
        """Handle messages until a task has ended. Return its result, or raise what it raised."""
        while True:
            result = self._said.get()()
            if result is not None:
                return result

    def leave(self, stop: Callable[[], None]) -> None:
        """Stop what runs, and wait a while for the threads to end."""
        end = time.monotonic() + GRACE
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < end:
            stop()  # repeated: a query that has not begun yet cannot be interrupted
            time.sleep(0.05)


def _raising(problem: BaseException) -> Callable[[], None]:
    def again() -> None:
        raise problem

    return again
