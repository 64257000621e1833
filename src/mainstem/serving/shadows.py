"""Shadows: challengers that score what the champion answered, after the answer and in a thread of their own.

A request is never later, other or failed because of its shadow. So what a shadow cannot keep up with is dropped, and
counted. An error is counted, and logged once for each version and message.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from mainstem.features.retrieval import Retrieval
from mainstem.logs.shadows import Shadowed, append_shadowed
from mainstem.nodes.instants import micros_of
from mainstem.nodes.records import now
from mainstem.ports import Writer
from mainstem.serving.answer import Answer
from mainstem.serving.metrics import Metrics
from mainstem.serving.predictor import Predictor

logger = logging.getLogger(__name__)

ROOM = 20_000
"""The rows that may wait for shadows. More are dropped."""

TOGETHER = 2_000
DELAY = 0.25
"""The rows, and the seconds, after which what was scored is logged in one commit."""

PATIENCE = 5.0
"""Seconds that waiting rows get when the server stops."""

Submit = Callable[[Callable[[Writer], int]], "Future[int]"]


@dataclass(frozen=True)
class Shadow:
    """A challenger of an endpoint. `left` is the part of its features that the champion does not have. `floor` is the
    number of scores in the lake."""

    endpoint: str
    predictor: Predictor
    left: Retrieval | None = None
    floor: int = 0

    @property
    def version(self) -> str:
        return self.predictor.version.id

    def scored(self, answers: Sequence[Answer]) -> list[Shadowed]:
        """Return what the challenger says of requests that the champion answered."""
        at = micros_of(now())
        found = self.predictor.again(answers, self.left)
        return [Shadowed(each.id, at, self.version, each.score, dict(each.scores), each.decision) for each in found]


class Shadows:
    """Scores for shadows in one thread. `offer` never waits and never raises."""

    def __init__(self, metrics: Metrics, submit: Submit, room: int = ROOM) -> None:
        self._metrics, self._submit, self._room = metrics, submit, room
        self._waiting: queue.SimpleQueue[tuple[Shadow, Sequence[Answer]] | None] = queue.SimpleQueue()
        self._rows, self._counting = 0, threading.Lock()
        self._thread: threading.Thread | None = None
        self._told = set[tuple[str, str]]()

    def offer(self, shadow: Shadow, answers: Sequence[Answer]) -> None:
        """Let a shadow score answers later."""
        if not answers:
            return
        with self._counting:
            fits = self._rows + len(answers) <= self._room
            self._rows += len(answers) if fits else 0
            if fits and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="shadows", daemon=True)
                self._thread.start()
        if fits:
            self._waiting.put((shadow, answers))
        else:
            self._metrics.shadowed(shadow.endpoint, shadow.version, "dropped", len(answers))

    def close(self) -> None:
        """Score what waits, for a short time."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(PATIENCE)

    def _run(self) -> None:
        going = True
        while going:
            batch, rows, end = list[tuple[Shadow, list[Shadowed]]](), 0, 0.0
            while rows < TOGETHER and (not batch or time.monotonic() < end):
                try:
                    item = self._waiting.get(timeout=max(0.0, end - time.monotonic()) if batch else None)
                except queue.Empty:
                    break
                if item is None:
                    going = False
                    break
                end = end or time.monotonic() + DELAY
                found = self._scored(*item)
                rows += len(found)
                batch += [(item[0], found)] if found else []
            if batch:
                self._write(batch)

    def _scored(self, shadow: Shadow, answers: Sequence[Answer]) -> list[Shadowed]:
        """Return what a shadow says of answers, or nothing if it failed."""
        try:
            return shadow.scored(answers)
        except Exception as error:  # whatever it is, it must not end the thread
            self._tell(shadow, error)
            self._count(shadow, "failed", len(answers))
            return []

    def _write(self, batch: Sequence[tuple[Shadow, list[Shadowed]]]) -> None:
        """Log what was scored in one commit: each commit delays those of the requests."""

        def write(writer: Writer) -> int:
            return [append_shadowed(writer, shadow.endpoint, found, shadow.floor) for shadow, found in batch][-1]

        result = "scored"
        try:
            self._submit(write).result()
        except Exception as error:
            result = "failed"
            self._tell(batch[0][0], error)
        for shadow, found in batch:
            self._count(shadow, result, len(found))

    def _count(self, shadow: Shadow, result: str, rows: int) -> None:
        with self._counting:
            self._rows -= rows
        self._metrics.shadowed(shadow.endpoint, shadow.version, result, rows)

    def _tell(self, shadow: Shadow, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if (shadow.version, text) not in self._told and len(self._told) < 1_000:
            self._told.add((shadow.version, text))
            fields: dict[str, Any] = {"event": "shadow failed", "endpoint": shadow.endpoint, "version": shadow.version}
            logger.warning("the shadow %s cannot score: %s", shadow.version, text, extra={"fields": fields})
