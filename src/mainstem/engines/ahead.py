"""Statements that are executed while the next ones are still being written.

A long query is a chain of temporary tables. To write one of them takes milliseconds, and so it does while the engine
computes the one before.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any


class Ahead:
    """Executes statements one after the other, in a thread of its own. Nobody else may use their connection meanwhile.

    `interrupt` ends the statement that is being executed.
    """

    def __init__(self, execute: Callable[[str], Any], interrupt: Callable[[], None]) -> None:
        self._execute, self._interrupt = execute, interrupt
        self._worker = ThreadPoolExecutor(1, "mainstem-ahead")
        self._begun: list[Future[Any]] = []

    @property
    def is_busy(self) -> bool:
        """Whether statements were begun that have not been waited for."""
        return bool(self._begun)

    def begin(self, statement: str) -> None:
        """Let it be executed after those that were begun before."""
        self._begun.append(self._worker.submit(self._execute, statement))

    def settle(self) -> None:
        """Wait until all are executed. Raises what the first that failed raised; those after it are not executed."""
        try:
            for future in self._begun:
                future.result()
        finally:
            self._drop()
            wait(self._begun)
            self._begun.clear()

    def close(self) -> None:
        """End what is being executed, and execute nothing more."""
        self._drop()
        while wait(self._begun, 0).not_done:
            self._interrupt()  # again, for one that comes before a statement has begun is forgotten
            wait(self._begun, 0.05)
        self._worker.shutdown()

    def _drop(self) -> None:
        """Let what has not begun to be executed never be."""
        for future in self._begun:
            future.cancel()
