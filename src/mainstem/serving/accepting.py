"""A worker's share of the connections to a socket from which several workers accept.

An event loop accepts all that wait at once, so the first worker that wakes would get them all. Here a worker accepts a
few, and the later the more connections it has: so those with fewer come first.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

DELAY = 0.0002
"""Seconds that a worker lets others go first for each connection that it has."""

LONGEST = 0.002
"""At most so many seconds."""

SHARE = 8
"""A worker with so many connections accepts one more at once, with twice as many two more."""


class Accepting:
    """Accepts from a listening socket, until it is closed. `count` tells how many connections are open."""

    def __init__(self, at: socket.socket, protocol: Callable[[], asyncio.Protocol], count: Callable[[], int]) -> None:
        self._at, self._protocol, self._count = at, protocol, count
        self._loop = asyncio.get_running_loop()
        self._later: asyncio.TimerHandle | None = None
        self._joining = set[asyncio.Task[None]]()
        at.setblocking(False)
        self._loop.add_reader(at, self._arrived)

    def close(self) -> None:
        """Accept no more. What waits in the socket is left to the other workers."""
        self._loop.remove_reader(self._at)
        if self._later is not None:
            self._later.cancel()

    async def wait_closed(self) -> None:
        """Wait for the connections that are being taken. uvicorn calls it at the end, as of its own servers."""
        await asyncio.gather(*self._joining, return_exceptions=True)

    def _arrived(self) -> None:
        delay = min(LONGEST, self._count() * DELAY)
        if delay:
            self._loop.remove_reader(self._at)
            self._later = self._loop.call_later(delay, self._again)
        else:
            self._accept()

    def _again(self) -> None:
        self._later = None
        self._accept()
        self._loop.add_reader(self._at, self._arrived)

    def _accept(self) -> None:
        for _ in range(1 + self._count() // SHARE):
            try:
                connection, _address = self._at.accept()
            except OSError:  # another worker was first, or the client has gone
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._join(connection))
            self._joining.add(task)
            task.add_done_callback(self._joining.discard)

    async def _join(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # the client has gone
            connection.close()
