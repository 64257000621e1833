"""Batches on the way from a source to an engine."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from traceback import clear_frames
from typing import TYPE_CHECKING, Any, Self

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

    The schema of the batches may change. A reader ends before a batch of another schema; `upcoming` is the schema of
    the next one, which `expecting` sets for the next reader. An engine passes on only the text of a source's exception,
    so the feed keeps it as `error`. The thread of a cancelled feed ends on its own, at the latest after the source's
    timeout.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
        self.error: Exception | None = None
        self._batches = iter(batches)
        self._schema = schema
        self._drawn: queue.Queue[object] = queue.Queue(AHEAD)
        self._done = threading.Event()
        self._first: Any = None
        self._began = False

    def upcoming(self) -> pa.Schema | None:
        """Wait for the next batch, and return its schema; None at the end. Raises what the source raised."""
        if self._first is None:
            self._first = self._next()
        if self._first is not _END:
            return self._first.schema
        self._done.set()
        if self.error is not None:
            raise self.error
        return None

    def reader(self) -> pa.RecordBatchReader:
        """Return a reader of the batches of the expected schema, up to the first one of another schema."""
        import pyarrow as pa

        return pa.RecordBatchReader.from_batches(self._schema, self._received(self._schema))

    def expecting(self, schema: pa.Schema) -> Self:
        """Set the schema of the next reader."""
        self._schema = schema
        return self

    def cancel(self) -> None:
        self._done.set()

    def _received(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        is_whole = False
        try:
            while self.upcoming() == schema:
                batch, self._first = self._first, None
                yield batch
            is_whole = True
        finally:
            if not is_whole:
                self._done.set()

    def _next(self) -> object:
        if not self._began:
            self._began = True
            threading.Thread(target=self._draw, name="mainstem-feed", daemon=True).start()
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
