"""Ctrl-C during a query."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

R = TypeVar("R")


def interruptible(query: Callable[[], R], interrupt: Callable[[], None]) -> R:
    """`query()`, ended at once by Ctrl-C, which is raised as `KeyboardInterrupt`.

    `interrupt` ends what it is at. It runs in a thread of its own: where the main thread takes part in the work,
    DuckDB 2.0 was seen to notice a signal only after 15 seconds, and raises it as a RuntimeError.
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
            while not future.done():  # DuckDB forgets an interrupt that comes before the query has begun
                interrupt()
                wait([future], 0.1)
        raise
