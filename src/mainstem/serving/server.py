"""Run the application with uvicorn: addresses, start and shutdown."""

from __future__ import annotations

import gc
import logging
import math
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from mainstem.errors import MissingExtra, SettingsError
from mainstem.ports import State
from mainstem.serving.accepting import Accepting
from mainstem.serving.app import App
from mainstem.serving.http.guard import is_loopback
from mainstem.serving.journal import taking_messages
from mainstem.serving.keys import valid
from mainstem.serving.leash import Leash

logger = logging.getLogger(__name__)

Loop = Literal["auto", "asyncio"]
"""The event loop: uvloop where it is installed, or that of Python."""

ACCEPTED = 512
"""Connections that are accepted at once, before the first of them is counted."""
TURN = 0.0005
"""Seconds that a thread may keep the interpreter while others wait for it. Python's default is ten times that."""
OTHER_FILES = 256
"""Files that the process has open beside its connections, at most."""


def check_binding(host: str, state: State) -> None:
    """Raise `SettingsError` for a host that other machines reach, if there are no API keys."""
    if not is_loopback(host) and not valid(state):
        raise SettingsError(
            "API keys are required to listen on this host",
            got=host,
            expected="127.0.0.1",
            hint="mainstem key create NAME --scope predict",
        )


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address. Port 0 takes a free port. Raises `SettingsError` if the address is
    unavailable."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Not `socket.create_server`: asyncio disables Nagle's algorithm only if the socket's protocol is TCP. With Nagle's
    # algorithm every answer waits 40 ms for the client's delayed acknowledgement.
    at = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        at.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        at.bind((host.strip("[]"), port))
        at.listen(2048)
        return at
    except (OSError, OverflowError) as error:
        at.close()
        raise SettingsError(
            f"the server cannot listen on {host}:{port}", got=str(error), hint="--port takes another; 0 a free one"
        ) from None


def run(
    app: App,
    at: socket.socket,
    started: Callable[[str], None] = lambda url: None,
    loop: Loop = "auto",
    leash: Leash | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in flight are answered first. `started` is told the URL.

    A worker has a `leash` to its supervisor.
    """

    def up(url: str) -> None:
        gc.freeze()  # what a server begins with stays: no collection has to look at it while requests wait
        started(url)

    with at, _signals_ignored(), _threads_taking_turns(), taking_messages(app.journal):
        server(app, at, up, loop, leash).run(sockets=[at])


@contextmanager
def _threads_taking_turns() -> Iterator[None]:
    """Let a small request wait for threads that answer large ones no longer than `TURN`."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """Ignore the signal that uvicorn raises again after its shutdown, so that stores can be closed."""
    handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def server(
    app: App,
    at: socket.socket,
    started: Callable[[str], None] = lambda url: None,
    loop: Loop = "auto",
    leash: Leash | None = None,
) -> Any:
    """Return the uvicorn server of `run`. Setting its `should_exit` stops it gracefully."""
    try:
        import uvicorn
    except ImportError:
        raise MissingExtra.named("serve", "uvicorn") from None
    from mainstem.serving.connections import Connections, protocol

    limits = replace(app.service.limits, connections=_room(app.service.limits.connections))

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets if leash is None else [])
            if self.started and leash is not None:
                accepting: Any = Accepting(at, self._connection, lambda: len(self.server_state.connections))
                self.servers.append(accepting)  # it is closed with them
                leash.hold(self)
            if self.started:
                started(url_of(at))

        def _connection(self) -> Any:
            make: Any = self.config.http_protocol_class
            return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.stopping = True
            await super().shutdown(sockets)

    return Server(
        uvicorn.Config(
            app,
            http=protocol(Connections(limits, app.refused)),
            loop=loop,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # who asks is who is connected, whatever the request says
            backlog=ACCEPTED,
            h11_max_incomplete_event_size=limits.max_path + limits.max_headers,
            timeout_graceful_shutdown=math.ceil(limits.drain),
        )
    )


def _room(wanted: int) -> int:
    """Return how many of the wanted connections the process may have. Its limit of open files is raised if needed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + ACCEPTED + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    found = max(soft - ACCEPTED - OTHER_FILES, 1)
    logger.warning("the limit of open files (%d) leaves room for %d connections, not %d", soft, found, wanted)
    return found


def url_of(at: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = at.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
