"""Connections to a server that was there before, and may be restarting: they wait for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

if TYPE_CHECKING:
    from sqlalchemy import Engine

SECONDS = 30.0
"""How long a connection waits for a server that does not answer."""
_LONGEST = 2.0
_NOT_READY = ("refused", "starting up", "shutting down", "terminating connection", "closed the connection")


def wait_for(engine: Engine) -> None:
    """Let later connections of an engine wait while its server restarts. Call it after the first connection: an address
    that was never right is refused at once."""
    event.listen(engine, "do_connect", _connect)


def _connect(dialect: Any, record: Any, arguments: Any, parameters: Any) -> Any:
    end, wait = time.monotonic() + SECONDS, 0.1
    while True:
        try:
            return dialect.connect(*arguments, **parameters)
        except dialect.loaded_dbapi.OperationalError as error:
            if time.monotonic() >= end or not any(sign in str(error) for sign in _NOT_READY):
                raise
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST)
