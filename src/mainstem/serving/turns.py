"""Who answers a request whose endpoint has `latency=ms.latency(…)`: what is computed, or, once the limit has passed,
the declared answer. The first of the two takes the request; the other one is dropped, and logs nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mainstem.errors import RequestError

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Turn:
    """A request that is not answered yet. It is taken in the event loop; other threads may read whether it is `late`.

    `taken` says that it was decided in time.
    """

    def __init__(self) -> None:
        self.taken = self.late = False

    def take(self) -> bool:
        """Take the request for what was computed. Return False if the declared answer was given."""
        self.taken = not self.late
        return self.taken


async def within(
    seconds: float,
    compute: Callable[[Turn], Awaitable[T]],
    instead: Callable[[], Awaitable[Callable[[], Awaitable[T]]]],
    endpoint: str,
) -> T:
    """Return what `compute` gives, or what `instead` does if the time passes before the turn is taken.

    `instead` makes the answers, and returns what logs them, which is called if the turn is still free. If it fails, the
    request waits for its own answer.
    """
    turn = Turn()
    computed = asyncio.ensure_future(compute(turn))
    await asyncio.wait((computed,), timeout=seconds)
    if computed.done() or turn.taken:
        return await computed
    try:
        log = await instead()
    except RequestError:  # `compute` refuses the request for the same reason
        return await computed
    except Exception as error:
        logger.warning("the declared answer of %r failed, and late requests wait: %s", endpoint, error)
        return await computed
    if computed.done() or turn.taken:
        return await computed
    turn.late = True
    computed.add_done_callback(_dropped)
    return await log()


def _dropped(computed: asyncio.Future[Any]) -> None:
    """Take the error of what was computed too late: the request has its answer."""
    if not computed.cancelled() and (error := computed.exception()) is not None:
        logger.debug("a request that was late failed: %s", error)
