"""Batches on their way from a source into an engine."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from traceback import clear_frames
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

AHEAD = 2
"""Batches that are drawn before the engine asks for them."""
BEAT = 0.1
"""Seconds after which whoever waits looks whether the feed was cancelled."""

_END = object()


class Cancelled(Exception):
    """What a reader gets of a feed that was cancelled."""


class Feed:
    """Batches drawn by a thread of their own, so that Ctrl-C need not wait for a server that does not answer.

    An engine tells only the text of what went wrong in a source, so the `error` is kept. A cancelled feed leaves its
    thread to end by itself, at the latest when the source's own timeout comes.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
        self.error: Exception | None = None
        self._batches = iter(batches)
        self._schema = schema
        self._drawn: queue.Queue[object] = queue.Queue(AHEAD)
        self._done = threading.Event()

    def reader(self) -> pa.RecordBatchReader:
        import pyarrow as pa

        return pa.RecordBatchReader.from_batches(self._schema, self._received())

    def cancel(self) -> None:
        self._done.set()

    def _received(self) -> Iterator[pa.RecordBatch]:
        threading.Thread(target=self._draw, name="mainstem-feed", daemon=True).start()
        try:
            while (batch := self._next()) is not _END:
                yield batch
            if self.error is not None:
                raise self.error
        finally:
            self._done.set()

    def _next(self) -> object:
        while not self._done.is_set():
            with suppress(queue.Empty):
                return self._drawn.get(timeout=BEAT)
        raise Cancelled

    def _draw(self) -> None:
        try:
            for batch in self._batches:
                if not self._hand_over(batch):
                    break
        except Exception as error:
            clear_frames(error.__traceback__)  # they would keep what is half read open as long as the error is kept
            self.error = error
        finally:
            if isinstance(self._batches, Generator):
                self._batches.close()  # here, where its connections are at home
            self._hand_over(_END)

    def _hand_over(self, batch: object) -> bool:
        """Whether the reader still wanted it."""
        while not self._done.is_set():
            with suppress(queue.Full):
                self._drawn.put(batch, timeout=BEAT)
                return True
        return False
