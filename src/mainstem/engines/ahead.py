"""Statements that are executed while the next ones are still being written.

A long query is a chain of temporary tables. To write one of them takes milliseconds, and so it does while the engine
computes the one before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any


class Ahead:
    """Executes statements one after the other, in a thread of its own. Nobody else may use their connection meanwhile.

    `interrupt` ends the statement that is being executed. The thread does not keep a process from ending.
    """

    def __init__(self, execute: Callable[[str], Any], interrupt: Callable[[], None]) -> None:
        self._execute, self._interrupt = execute, interrupt
        self._waiting: SimpleQueue[tuple[str, Future[None]] | None] = SimpleQueue()
        self._begun: list[Future[None]] = []
        self._worker: threading.Thread | None = None

    @property
    def is_busy(self) -> bool:
        """Whether statements were begun that have not been waited for."""
        return bool(self._begun)

    def begin(self, statement: str) -> None:
        """Let it be executed after those that were begun before."""
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="mainstem-ahead", daemon=True)
            self._worker.start()
        future: Future[None] = Future()
        self._begun.append(future)
        self._waiting.put((statement, future))

    def settle(self) -> None:
        """Wait until all are executed. Raises what the first that failed raised; those after it are not executed."""
        try:
            for future in self._begun:
                future.result()
        finally:
            self._cancel()
            wait(self._begun)
            self._begun.clear()

    def drop(self) -> None:
        """End what is being executed, and execute nothing more of what was begun."""
        self._cancel()
        while wait(self._begun, 0).not_done:
            self._interrupt()  # again, for one that comes before a statement has begun is forgotten
            wait(self._begun, 0.05)
        self._begun.clear()

    def close(self) -> None:
        """The same, for good."""
        try:
            self.drop()
        finally:
            self._waiting.put(None)

    def _cancel(self) -> None:
        for future in self._begun:
            future.cancel()

    def _work(self) -> None:
        while (taken := self._waiting.get()) is not None:
            statement, future = taken
            if not future.set_running_or_notify_cancel():
                continue
            try:
                self._execute(statement)
            except BaseException as error:
                self._cancel()  # what was written to come after it
                future.set_exception(error)
            else:
                future.set_result(None)
