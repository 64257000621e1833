"""Run the application with uvicorn: addresses, start and shutdown."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mainstem.errors import MissingExtra, SettingsError
from mainstem.ports import State
from mainstem.serving.app import App
from mainstem.serving.http.guard import is_loopback
from mainstem.serving.keys import valid


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


def run(app: App, at: socket.socket, started: Callable[[str], None] = lambda url: None) -> None:
    """Serve until SIGTERM or Ctrl-C. Requests in flight are answered first. `started` is called with the URL."""
    with at, _signals_ignored():
        server(app, at, started).run(sockets=[at])


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """Ignore the signal that uvicorn raises again after its shutdown, so that stores can be closed."""
    handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def server(app: App, at: socket.socket, started: Callable[[str], None] = lambda url: None) -> Any:
    """Return the uvicorn server of `run`. Setting its `should_exit` stops it gracefully."""
    try:
        import uvicorn
    except ImportError:
        raise MissingExtra.named("serve", "uvicorn") from None
    limits = app.service.limits

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                started(url_of(at))

    return Server(
        uvicorn.Config(
            app,
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=limits.concurrency,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(limits.drain),
        )
    )


def url_of(at: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = at.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
