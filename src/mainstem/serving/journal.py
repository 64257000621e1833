"""What the server logs: JSON, one line per request and per message of the program.

A separate thread writes the lines, so a blocked terminal or pipe never delays an answer. Lines that do not fit in the
queue are dropped and counted. The count is written when there is room.
"""

from __future__ import annotations

import logging
import queue
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import msgspec

from mainstem.masking import masked_all
from mainstem.nodes.records import now

ROOM = 10_000
"""Lines that may wait to be written."""
PATIENCE = 2.0
"""Seconds that the end of the server waits for them."""

REQUEST: ContextVar[str] = ContextVar("request")
"""The id of the request that is being answered."""

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_SECRET = re.compile(r"ms_[0-9a-f]{12}_[A-Za-z0-9_-]+")


def request_id(given: str | None) -> str:
    """Return the client's id if it is well-formed (up to 128 letters, digits and `._:-`), else a new one.

    An id that has an API key in it is not taken: ids are logged.
    """
    if given is not None and _ID.fullmatch(given) and not _SECRET.search(given):
        return given
    return uuid4().hex


class Journal:
    """Writes lines to `target`: `stderr`, `off`, or the path of a file that lines are added to."""

    def __init__(self, target: str = "off") -> None:
        self._lost, self._counting = 0, threading.Lock()
        self._stream = _opened(target)
        self._waiting: queue.Queue[bytes | None] = queue.Queue(ROOM)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        if self._stream is not None:
            self._thread.start()

    @property
    def writes(self) -> bool:
        """Whether lines go anywhere."""
        return self._stream is not None

    def write(self, **fields: Any) -> None:
        """Write one line. API keys and secret values in it are masked."""
        if self._stream is None:
            return
        text = msgspec.json.encode(masked_all({"at": now(), **fields}), enc_hook=str).decode()
        try:
            self._waiting.put_nowait(_SECRET.sub("ms_…", text).encode() + b"\n")
        except queue.Full:
            self._lose(1)

    def close(self) -> None:
        """Write what waits, for a short time."""
        if self._stream is None:
            return
        try:
            self._waiting.put(None, timeout=PATIENCE)
        except queue.Full:
            return
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        assert self._stream is not None
        while (line := self._waiting.get()) is not None:
            self._put(line)
        self._put(b"")
        if self._stream is not sys.stderr.buffer:
            with suppress(OSError):
                self._stream.close()

    def _put(self, line: bytes) -> None:
        """Write a line, and how many were lost before it."""
        assert self._stream is not None
        lost = self._lose(0)
        if lost:
            line += msgspec.json.encode({"at": now(), "event": "log lines lost", "lines": lost}) + b"\n"
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):  # a closed pipe: there is nowhere to say so
            self._lose(lost + 1)

    def _lose(self, lines: int) -> int:
        """Count lost lines. With 0, return how many were lost, and count from 0 again."""
        with self._counting:
            lost = self._lost
            self._lost = lost + lines if lines else 0
        return lost


def _opened(target: str) -> BinaryIO | None:
    if target == "off":
        return None
    if target == "stderr":
        return sys.stderr.buffer
    path = Path(target)
    path.touch(mode=0o600)
    return path.open("ab")


class Lines(logging.Handler):
    """Messages of the program as lines of a journal."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.INFO)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._journal.write(**_fields(record))
        except Exception:  # as every handler of the standard library: a log never fails the program
            self.handleError(record)


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields: dict[str, Any] = {
        "event": "message",
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
        **getattr(record, "fields", {}),
    }
    if request := REQUEST.get(None):
        fields["request"] = request
    if record.exc_info and record.exc_info[0]:
        fields["traceback"] = "".join(traceback.format_exception(*record.exc_info))
    elif record.exc_text:  # it was masked
        fields["traceback"] = record.exc_text
    return fields


@contextmanager
def taking_messages(journal: Journal) -> Iterator[None]:
    """Write the messages of Mainstem and of uvicorn to the journal, and what waits at the end.

    Without a target, messages are left where they go.
    """
    if not journal.writes:
        yield
        return
    handler, names = Lines(journal), ("mainstem", "uvicorn.error", "asyncio")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.INFO if logger.name == "mainstem" else logging.WARNING)
    try:
        yield
    finally:
        journal.close()
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
