"""Several worker processes that accept from one socket, and the supervisor that replaces those that end or hang.

The kernel gives a connection to a worker that accepts it. So one that hangs gets no new ones, and what waits to be
accepted outlives any worker. Workers share nothing but that socket, the stores, and files of their counters.

Rejected: forked workers (an LMDB environment and threads of libraries must not pass a fork), and a socket for each
worker (the connections that wait for one that is killed would be lost).
"""

from __future__ import annotations

import logging
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mainstem.errors import RunFailed
from mainstem.serving.leash import UP
from mainstem.serving.server import url_of

logger = logging.getLogger(__name__)

LOOK = 0.1
"""Seconds between looks at the workers."""

STARTING = 120.0
"""Seconds that a worker may take to start."""

SETTLED = 10.0
"""Seconds after which the end of a worker is not taken for a failure to start."""

AGAIN = 1.0
"""Seconds until a worker that the system could not start is tried again."""

LONGEST = 30.0
"""The longest pause before a worker is started again, in seconds."""

MARGIN = 5.0
"""Seconds that workers get beyond the time in which open requests may finish."""


@dataclass(eq=False)
class Worker:
    """A process. `beat` is when its event loop was last known to run, `up` whether it has begun to answer."""

    slot: int
    process: subprocess.Popen[bytes]
    link: socket.socket
    began: float
    beat: float
    up: bool = False


class Supervisor:
    """Runs `count` workers until SIGTERM or Ctrl-C.

    A worker is `command` with four more arguments: the descriptors of the socket `at` and of its leash, its number, and
    a directory that all workers share. One that does not tell for `patience` seconds that its event loop runs is
    killed. Open requests get `drain` seconds at the end. `started` is told the URL when all workers answer.
    """

    def __init__(
        self,
        command: Sequence[str],
        at: socket.socket,
        count: int,
        *,
        patience: float,
        drain: float,
        started: Callable[[str], None] = lambda url: None,
    ) -> None:
        self._command, self._at, self._count = command, at, count
        self._patience, self._drain, self._started = patience, drain, started
        self._workers: dict[int, Worker] = {}
        self._due = dict.fromkeys(range(count), 0.0)
        """When each missing worker is to be started."""
        self._failures = dict.fromkeys(range(count), 0)
        self._selector = selectors.DefaultSelector()
        self._stopping = self._told = False

    def run(self) -> None:
        """Run the workers. Raises `RunFailed` if one ends before all answer for the first time."""
        with self._at, self._signals(), tempfile.TemporaryDirectory(prefix="mainstem-serve-") as shared:
            try:
                while not self._stopping:
                    self._begin(Path(shared))
                    self._listen()
                    self._reap()
                    self._kill_hanging()
                    if not self._told and len(self._workers) == self._count and all(w.up for w in self._all()):
                        self._told = True
                        self._started(url_of(self._at))
            finally:
                self._stop()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(number: int, frame: object) -> None:
            self._stopping = True

        handlers = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _all(self) -> list[Worker]:
        return list(self._workers.values())

    def _begin(self, shared: Path) -> None:
        """Start the workers that are missing and due."""
        for slot, due in list(self._due.items()):
            if time.monotonic() < due:
                continue
            try:
                process, ours = self._process(slot, shared)
            except OSError as error:  # such as no memory for a process
                if not self._told:
                    raise
                self._due[slot] = time.monotonic() + AGAIN
                said = {"event": "worker not started", "worker": slot}
                logger.error("worker %d cannot be started: %s", slot, error, extra=_of(said))
                continue
            present = time.monotonic()
            self._workers[slot] = worker = Worker(slot, process, ours, present, present)
            self._selector.register(ours, selectors.EVENT_READ, worker)
            del self._due[slot]

    def _process(self, slot: int, shared: Path) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """Start a worker, and return it with the supervisor's end of its leash. Raises `OSError`."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        passed = (self._at.fileno(), theirs.fileno())
        command = [*self._command, *map(str, passed), str(slot), str(shared)]
        with theirs:
            try:  # Ctrl-C reaches the supervisor only, which lets workers finish
                return subprocess.Popen(command, pass_fds=passed, start_new_session=True), ours
            except OSError:
                ours.close()
                raise

    def _listen(self) -> None:
        """Take in what workers tell, for a moment."""
        for key, _ in self._selector.select(LOOK):
            worker: Worker = key.data
            with suppress(OSError):
                told = worker.link.recv(4_096)
                if not told:
                    self._selector.unregister(worker.link)
                worker.beat = time.monotonic() if told else worker.beat
                worker.up = worker.up or UP in told

    def _reap(self) -> None:
        """Notice the workers that have ended. They are started again after a pause, which grows with each failure."""
        for worker in self._all():
            code = worker.process.poll()
            if code is None:
                continue
            self._drop(worker)
            if not self._told:
                raise RunFailed(
                    "a worker ended before it could answer",
                    where=f"worker {worker.slot}",
                    got=_ended(code),
                    hint="its error stands above; mainstem serve without --workers shows it, too",
                )
            lived = time.monotonic() - worker.began
            failures = self._failures[worker.slot] = 0 if lived > SETTLED else self._failures[worker.slot] + 1
            pause = min(LONGEST, 0.1 * 2**failures) if failures else 0.0
            self._due[worker.slot] = time.monotonic() + pause
            said = {"event": "worker replaced", "worker": worker.slot, "pid": worker.process.pid, "ended": _ended(code)}
            logger.warning("worker %d ended: %s; another takes its place", worker.slot, _ended(code), extra=_of(said))

    def _kill_hanging(self) -> None:
        for worker in self._all():
            silent = time.monotonic() - worker.beat
            if silent > (self._patience if worker.up else max(STARTING, self._patience)):
                said = {"event": "worker hangs", "worker": worker.slot, "pid": worker.process.pid}
                logger.error("worker %d did nothing for %.1f s, and is killed", worker.slot, silent, extra=_of(said))
                worker.process.kill()
                worker.process.wait()

    def _drop(self, worker: Worker) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(worker.link)
        worker.link.close()
        del self._workers[worker.slot]

    def _stop(self) -> None:
        """End all workers: open requests are answered first, and new connections are refused."""
        self._at.close()
        for worker in self._all():
            worker.process.terminate()
        end = time.monotonic() + self._drain + MARGIN
        for worker in self._all():
            try:
                code = worker.process.wait(max(0.0, end - time.monotonic()))
                if code:
                    logger.error("worker %d failed while it stopped: %s", worker.slot, _ended(code))
            except subprocess.TimeoutExpired:
                logger.error("worker %d did not stop in time, and is killed", worker.slot)
                worker.process.kill()
                worker.process.wait()
            self._drop(worker)


def _of(fields: dict[str, object]) -> dict[str, object]:
    return {"fields": fields}


def _ended(code: int) -> str:
    """Return how a process ended, from its return code."""
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
