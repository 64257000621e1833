"""Shadows: challengers that score what the champion answered, after the answer and in a thread of their own.

A request is never later, other or failed because of its shadow. So what a shadow cannot keep up with is dropped, and
counted. An error is counted, and logged once for each version and message.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from mainstem.logs.shadows import Shadowed, append_shadowed
from mainstem.nodes.instants import micros_of
from mainstem.nodes.records import now
from mainstem.ports import Writer
from mainstem.serving.metrics import Metrics
from mainstem.serving.predictor import Answer, Predictor

logger = logging.getLogger(__name__)

ROOM = 20_000
"""The rows that may wait for shadows. More are dropped."""

PATIENCE = 5.0
"""Seconds that waiting rows get when the server stops."""

Submit = Callable[[Callable[[Writer], int]], "Future[int]"]


@dataclass(frozen=True)
class Shadow:
    """The challenger of an endpoint. `floor` is the number of its scores in the lake."""

    endpoint: str
    predictor: Predictor
    floor: int = 0

    @property
    def version(self) -> str:
        return self.predictor.version.id

    def scored(self, answers: Sequence[Answer]) -> list[Shadowed]:
        """Return what the challenger says of requests that the champion answered."""
        at = micros_of(now())
        found = self.predictor.again(answers)
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
        while (item := self._waiting.get()) is not None:
            shadow, answers = item
            result = "scored" if self._score(shadow, answers) else "failed"
            with self._counting:
                self._rows -= len(answers)
            self._metrics.shadowed(shadow.endpoint, shadow.version, result, len(answers))

    def _score(self, shadow: Shadow, answers: Sequence[Answer]) -> bool:
        try:
            found = shadow.scored(answers)
            self._submit(lambda writer: append_shadowed(writer, shadow.endpoint, found, shadow.floor)).result()
        except Exception as error:  # whatever it is, it must not end the thread
            self._tell(shadow, error)
            return False
        return True

    def _tell(self, shadow: Shadow, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if (shadow.version, text) not in self._told and len(self._told) < 1_000:
            self._told.add((shadow.version, text))
            fields: dict[str, Any] = {"event": "shadow failed", "endpoint": shadow.endpoint, "version": shadow.version}
            logger.warning("the shadow %s cannot score: %s", shadow.version, text, extra={"fields": fields})
