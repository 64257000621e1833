"""Fits of a search in processes of their own, ahead of when they are asked for.

A search decides from trial to trial, so it stays in one process and does the same whatever the number of workers.
Workers fit what it will probably ask for next: fits depend on nothing but their candidate and their fold.

The processes are programs, not forks or copies of the main module: a fork hangs in OpenMP, and a script that runs a
project need not guard its first line. What they get goes through a socket that only they have the key of.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener
from threading import Condition, Thread
from typing import Any

from mainstem.errors import ModelError
from mainstem.models.algorithms import Candidate
from mainstem.models.algorithms.settings import Declared
from mainstem.models.data.rows import Scores
from mainstem.models.engineering import Engineered
from mainstem.models.evaluation.comparison import Fold

STARTING = 60.0
"""Seconds in which a worker must have started."""

Fit = tuple[Scores, dict[str, float], float, float]
"""The scores of a fold's future, the settings that the fit found, its seconds, and the work of a score."""


class Lost(Exception):
    """The process that was fitting has ended, as when memory is short. The search fits by itself."""


@dataclass(eq=False)
class Workers:
    """Processes that fit candidates on the folds of one search. Their order does not matter: a fit has one result."""

    waiting: deque[tuple[Candidate, int, Future[Fit]]] = field(default_factory=deque)
    closed: bool = False
    alive: int = 0
    changed: Condition = field(default_factory=Condition)

    def ask(self, candidate: Candidate, number: int) -> Future[Fit]:
        """Have a candidate fitted on a fold, counted from 1. The future raises `Lost` if no process is left."""
        found: Future[Fit] = Future()
        with self.changed:
            if not self.alive:
                found.set_exception(Lost())
                return found
            self.waiting.append((candidate, number, found))
            self.changed.notify()
        return found

    def _next(self) -> tuple[Candidate, int, Future[Fit]] | None:
        with self.changed:
            while True:
                while self.waiting:
                    found = self.waiting.popleft()
                    if found[2].set_running_or_notify_cancel():
                        return found
                if self.closed:
                    return None
                self.changed.wait()

    def _lost(self, running: Future[Fit]) -> None:
        """Give up what a process that ended was fitting; without another process, also what waits."""
        with self.changed:
            self.alive -= 1
            given_up = [running]
            while not self.alive and self.waiting:
                future = self.waiting.popleft()[2]
                if future.set_running_or_notify_cancel():
                    given_up.append(future)
        for each in given_up:
            each.set_exception(Lost())

    def serve(self, link: Connection) -> None:
        """Hand fits to one process, until there are no more."""
        with link:
            while (asked := self._next()) is not None:
                candidate, number, future = asked
                try:
                    link.send((candidate, number))
                    kind, found = link.recv()
                except (EOFError, OSError):
                    self._lost(future)
                    return
                if kind == "done":
                    future.set_result(found)
                else:
                    future.set_exception(ModelError(found.pop("what"), **found))

    def close(self) -> None:
        """Hand out nothing more."""
        with self.changed:
            self.closed = True
            while self.waiting:
                self.waiting.popleft()[2].cancel()
            self.changed.notify_all()


@contextmanager
def workers(jobs: int, folds: Sequence[Fold]) -> Iterator[Workers | None]:
    """Start so many processes, and end them afterwards; none for one job. Raises `ModelError` if one does not start."""
    if jobs < 2:
        yield None
        return
    made, key = Workers(), os.urandom(32)
    processes: list[subprocess.Popen[bytes]] = []
    threads: list[Thread] = []
    with Listener(authkey=key) as listener:
        try:
            for _ in range(jobs):
                processes.append(_started(str(listener.address)))
                _told(processes[-1], key)
            for _ in range(jobs):
                link = _accepted(listener, processes)
                with suppress(OSError):  # of one that has ended at once, the search does the work
                    link.send([(fold.past, fold.future.rows) for fold in folds])
                    made.alive += 1
                    threads.append(Thread(target=made.serve, args=(link,), daemon=True))
                    threads[-1].start()
            yield made
        finally:
            made.close()
            for process in processes:
                process.kill()
                process.wait()
            for thread in threads:
                thread.join()


def _started(address: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mainstem.models.search.worker", address]
    path = os.pathsep.join(each for each in sys.path if each)
    # A session of its own: Ctrl-C is for the search, which keeps what it has found.
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, start_new_session=True, env={**os.environ, "PYTHONPATH": path}
    )


def _told(process: subprocess.Popen[bytes], key: bytes) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as given:  # one that has ended is noticed when it does not connect
        given.write(key.hex().encode() + b"\n")


def _accepted(listener: Listener, processes: Sequence[subprocess.Popen[bytes]]) -> Connection:
    """Return the link to the next process that has started. A thread waits, so that one that ends is noticed."""
    found: list[Any] = []

    def accept() -> None:
        with suppress(OSError, AuthenticationError):  # the listener is closed when nothing connects
            found.append(listener.accept())

    waiting = Thread(target=accept, daemon=True)
    waiting.start()
    for _ in range(int(STARTING * 10)):
        waiting.join(0.1)
        if found:
            link: Connection = found[0]
            return link
        if any(process.poll() is not None for process in processes):
            break
    raise ModelError("a worker of the search does not start", got=f"{sys.executable} -m", hint="jobs=1")


def can_go(candidate: Candidate) -> bool:
    """Return whether a candidate can be fitted in another process: built-in algorithms can. One that the project
    defines may not be importable there."""
    algorithm: Any = candidate.algorithm
    while isinstance(algorithm, Engineered):
        algorithm = algorithm.of
    return isinstance(algorithm, Declared) and type(algorithm).__module__.startswith("mainstem.")
