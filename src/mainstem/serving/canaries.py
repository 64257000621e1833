"""The canaries of a server: each ends by itself, and its end is kept in the state.

So another server of the branch follows within a second, and a restart does not begin again with the same version.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from functools import partial

from mainstem.nodes.challengers import Canary, CanaryEnd, end_id
from mainstem.ports import State
from mainstem.serving.canary import Guard
from mainstem.serving.metrics import Metrics

logger = logging.getLogger(__name__)


class Canaries:
    """The guards of the canaries of a branch, by the id of their end. It is thread-safe."""

    def __init__(self, state: State, branch: str, metrics: Metrics) -> None:
        self._state, self._branch, self._metrics = state, branch, metrics
        self._guards: dict[str, Guard] = {}
        self._shown: tuple[Guard, ...] = ()

    def guard(self, canary: Canary, endpoint: str, version: str) -> Guard:
        """Return the guard of a version, with what it counted before, if the canary is declared as before."""
        id = end_id(self._branch, endpoint, version)
        held = self._guards.get(id)
        if held is None or held.canary != canary:
            noted = partial(self._metrics.canary, endpoint, version)
            made = Guard(canary, endpoint, self._branch, version, noted=noted, ended=self._tell)
            made.end = held.end if held else self._state.get(CanaryEnd, id)
            held = self._guards[id] = made
        return held

    def show(self, live: Iterable[Guard]) -> None:
        """Show in the metrics the canaries of the live release, and whether they ended."""
        self._shown = tuple(live)
        self._metrics.canaries({(g.endpoint, g.version): g.end is not None for g in self._shown})

    def follow(self) -> None:
        """Save the ends that the state lacks, and follow those that other servers saved."""
        if not self._guards:
            return
        known = {end.id: end for end in self._state.find(CanaryEnd, branch=self._branch)}
        for guard in list(self._guards.values()):
            if guard.end is None and guard.id in known:
                guard.end = known[guard.id]
            elif guard.end is not None and guard.id not in known:
                self._state.save(guard.end)
        self.show(self._shown)

    def close(self) -> None:
        """Save the ends that are not saved yet."""
        try:
            self.follow()
        except Exception as error:
            logger.warning("the end of a canary is not saved: %s", error)

    def _tell(self, end: CanaryEnd) -> None:
        """Log an end, and save it in a thread of its own: the event loop does not wait for the state."""
        fields = {"event": "canary ended", "endpoint": end.endpoint, "version": end.version, "reason": end.reason}
        logger.warning("the canary of %s ended: %s", end.version, end.reason, extra={"fields": fields})
        threading.Thread(target=self._save, args=(end,), name="canary", daemon=True).start()

    def _save(self, end: CanaryEnd) -> None:
        try:
            self._state.save(end)
        except Exception as error:
            logger.warning("the end of a canary is not saved yet: %s", error)
        self.show(self._shown)
