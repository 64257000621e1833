"""Batches on the way from a source to an engine."""

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
"""The number of batches that are read ahead of the engine."""
BEAT = 0.1
"""Seconds between checks of a waiting thread whether the feed was cancelled."""

_END = object()


class Cancelled(Exception):
    """Raised for the reader of a cancelled feed."""


class Feed:
    """Batches that its own thread reads, so that Ctrl-C does not wait for a server that does not answer.

    An engine passes on only the text of a source's exception, so the feed keeps it as `error`. The thread of a
    cancelled feed ends on its own, at the latest after the source's timeout.
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
            clear_frames(
                error.__traceback__
            )  # the frames would keep half-read connections open as long as the error lives
            self.error = error
        finally:
            if isinstance(self._batches, Generator):
                self._batches.close()  # in this thread, because connections belong to it
            self._hand_over(_END)

    def _hand_over(self, batch: object) -> bool:
        """Return whether the reader still wanted the batch."""
        while not self._done.is_set():
            with suppress(queue.Full):
                self._drawn.put(batch, timeout=BEAT)
                return True
        return False
