"""Ctrl-C, whenever it comes: the query has ended when it is raised."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

import duckdb
import pytest

from mainstem.engines.interrupts import interruptible


def start_and_be_interrupted(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    """Starting a thread waits until it has begun: a signal may come in that while."""

    def started(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    return started


def test_one_that_comes_while_the_query_is_started_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    running, ended = threading.Event(), threading.Event()
    start, begin = threading.Thread.start, Future.set_running_or_notify_cancel

    def set_running(future: Future[None]) -> bool:
        found = begin(future)
        running.set()
        return found

    def query() -> None:
        try:
            connection.sql("SELECT count(DISTINCT uuid()) FROM range(10_000_000_000)").fetchall()
        finally:
            ended.set()

    def start_to_run(thread: threading.Thread) -> None:
        start(thread)
        assert running.wait(30)

    with duckdb.connect() as connection, monkeypatch.context() as patch:
        patch.setattr(Future, "set_running_or_notify_cancel", set_running)
        patch.setattr(threading.Thread, "start", start_and_be_interrupted(start_to_run))
        with pytest.raises(KeyboardInterrupt):
            interruptible(query, connection.interrupt)
        assert ended.is_set()


def test_one_that_comes_before_the_query_has_begun_keeps_it_from_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[threading.Thread] = []
    begun = threading.Event()
    with duckdb.connect() as connection, monkeypatch.context() as patch:
        start = threading.Thread.start
        patch.setattr(threading.Thread, "start", start_and_be_interrupted(waiting.append))
        with pytest.raises(KeyboardInterrupt):
            interruptible(begun.set, connection.interrupt)
        start(waiting[0])
        waiting[0].join()
    assert not begun.is_set()
