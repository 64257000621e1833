"""Show the published tables of `main` to readers outside Mainstem, whenever the branch's release moves."""

from __future__ import annotations

import logging

from mainstem.errors import StorageError
from mainstem.nodes.records import Offered, Release
from mainstem.ports import Lake, State

logger = logging.getLogger(__name__)

OFFERED = "main"
"""The branch that readers outside Mainstem see."""


def offer(lake: Lake, state: State, branch: str, release: Release) -> None:
    """Show the tables of a release that was published. A failure is logged; the next run shows them."""
    if branch != OFFERED:
        return
    try:
        lake.offer(release.tables)
        state.save(Offered(release.id))
    except StorageError as error:
        logger.warning("published; but readers outside Mainstem still see the previous tables: %s", error)


def catch_up(lake: Lake, state: State, branch: str, release: Release) -> None:
    """Show the tables of the published release, if the process that published it ended before it could."""
    if branch != OFFERED or not release.id:
        return
    known = state.get(Offered, "offered")
    if known is None or known.release != release.id:
        offer(lake, state, branch, release)
