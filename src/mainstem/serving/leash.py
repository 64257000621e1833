"""What ties a worker to its supervisor: the worker tells that its event loop runs, and stops when the supervisor has
ended."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

UP = b"+"
"""A worker has begun to answer."""

BEAT = b"."
"""Its event loop runs."""

EVERY = 0.2
"""Seconds between two beats."""


class Leash:
    """A worker's end of the connection to its supervisor."""

    def __init__(self, descriptor: int) -> None:
        self._link = socket.socket(fileno=descriptor)
        self._link.setblocking(False)
        self._beating: asyncio.Task[None] | None = None

    def hold(self, server: Any) -> None:
        """Tell from now on that the event loop runs. Stop the server when the supervisor has ended."""
        loop = asyncio.get_running_loop()
        self._tell(UP)
        self._beating = loop.create_task(self._beat())
        loop.add_reader(self._link, self._ended, loop, server)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            self._tell(BEAT)

    def _tell(self, what: bytes) -> None:
        with suppress(OSError):  # its end is noticed by the reader
            self._link.send(what)

    def _ended(self, loop: asyncio.AbstractEventLoop, server: Any) -> None:
        loop.remove_reader(self._link)
        server.should_exit = True
