"""Ctrl-C during a query."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

R = TypeVar("R")

GRACE = 3.0
"""Seconds that an interrupted query has to end. One that waits for a function of the user may never do so."""


def interruptible(query: Callable[[], R], interrupt: Callable[[], None]) -> R:
    """Return `query()`. Ctrl-C ends the query at once and raises `KeyboardInterrupt`.

    `interrupt` ends the current statement. It runs in its own thread: when the main thread took part in a query, DuckDB
    2.0 noticed a signal only after 15 seconds and raised a RuntimeError.
    """
    if threading.current_thread() is not threading.main_thread():
        return query()
    future: Future[R] = Future()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(query())
        except BaseException as error:
            future.set_exception(error)

    try:
        threading.Thread(target=run, name="mainstem-query", daemon=True).start()
        return future.result()
    except KeyboardInterrupt:
        if not future.cancel():
            end = time.monotonic() + GRACE
            while not future.done() and time.monotonic() < end:
                interrupt()  # repeated: DuckDB ignores an interrupt before the query has begun
                wait([future], 0.1)
        raise
