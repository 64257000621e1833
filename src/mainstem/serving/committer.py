"""Durable writes for many concurrent requests: waiting requests share one commit.

A commit waits for the disk, so it runs in its own thread, and the event loop continues to answer. Requests that arrive
meanwhile share the next commit. (If each request commits itself, it waits for all others: see benchmarks/serving.py.)
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from mainstem.errors import ConflictError, StorageError, Unavailable
from mainstem.ports import OnlineStore, Writer

T = TypeVar("T")
Work = Callable[[Writer], Any]

LARGEST = 256
"""The maximum number of requests per commit."""


class Committer:
    """One writer thread. `submit` returns a future that completes when the write is on disk, or fails."""

    def __init__(self, store: OnlineStore) -> None:
        self._store = store
        self._waiting: queue.SimpleQueue[tuple[Work, Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._closed = False
        self._thread.start()

    def submit(self, work: Callable[[Writer], T]) -> Future[T]:
        """Run `work` in a transaction, perhaps together with other requests."""
        future: Future[T] = Future()
        if self._closed:
            future.set_exception(Unavailable("the server is stopping", hint="send it again"))
        else:
            self._waiting.put((work, future))
        return future

    def close(self) -> None:
        """Finish the waiting writes."""
        self._closed = True
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        running = True
        while running:
            group = [self._waiting.get()]
            while len(group) < LARGEST and not self._waiting.empty():
                group.append(self._waiting.get())
            running = None not in group
            # A request that gave up has cancelled its future: it is not written, and its future can have no result.
            items = [item for item in group if item is not None and item[1].set_running_or_notify_cancel()]
            if items:
                self._commit(items)

    def _commit(self, items: list[tuple[Work, Future[Any]]]) -> None:
        try:
            with self._store.transaction() as writer:
                results = [work(writer) for work, _ in items]
        except Exception as error:
            if len(items) == 1 or of_the_store(error):
                for _, future in items:
                    future.set_exception(error)
                return
            for item in items:  # one of them failed the shared transaction: retry each on its own
                self._commit([item])
            return
        for (_, future), result in zip(items, results, strict=True):
            future.set_result(result)


def of_the_store(error: BaseException) -> bool:
    """Return whether each request would fail alike: an unavailable store, whose errors take time."""
    return isinstance(error, StorageError) and not isinstance(error, ConflictError) and not error.of_one_record
