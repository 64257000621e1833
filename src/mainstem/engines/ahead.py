"""Execute statements while the next ones are still being compiled.

A long query is a chain of temporary tables. Compiling one of them takes milliseconds. This overlaps with the execution
of the previous one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any


class Ahead:
    """Executes statements one after the other in its own thread. Others must not use the connection meanwhile.

    `interrupt` ends the statement that is being executed. The thread does not keep the process alive.
    """

    def __init__(self, execute: Callable[[str], Any], interrupt: Callable[[], None]) -> None:
        self._execute, self._interrupt = execute, interrupt
        self._waiting: SimpleQueue[tuple[str, Future[None]] | None] = SimpleQueue()
        self._begun: list[Future[None]] = []
        self._worker: threading.Thread | None = None

    @property
    def is_busy(self) -> bool:
        """Whether there are statements that were begun and not waited for."""
        return bool(self._begun)

    def begin(self, statement: str) -> None:
        """Queue a statement behind those that were begun before."""
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="mainstem-ahead", daemon=True)
            self._worker.start()
        future: Future[None] = Future()
        self._begun.append(future)
        self._waiting.put((statement, future))

    def settle(self) -> None:
        """Wait until all statements are executed. Raise the first failure; later statements are skipped."""
        try:
            for future in self._begun:
                future.result()
        finally:
            self._cancel()
            wait(self._begun)
            self._begun.clear()

    def drop(self) -> None:
        """Interrupt the current statement and discard the queued ones."""
        self._cancel()
        while wait(self._begun, 0).not_done:
            self._interrupt()  # repeated, because DuckDB ignores an interrupt before a statement has begun
            wait(self._begun, 0.05)
        self._begun.clear()

    def close(self) -> None:
        """Do the same as `drop`, and end the thread."""
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
                self._cancel()  # statements that were queued behind the failed one
                future.set_exception(error)
            else:
                future.set_result(None)
