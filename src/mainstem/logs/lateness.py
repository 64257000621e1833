"""Logged answers to requests that were late: the declared ones, without features and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstem.nodes.hidden import FLAGS
from mainstem.nodes.latencies import LATE

if TYPE_CHECKING:
    import ibis


def decided_in_time(log: ibis.Table) -> ibis.Table:
    """Return the rows of a prediction log without those of late requests: no model saw these."""
    import ibis

    flags: ibis.StringValue = log[FLAGS].fill_null("")
    return log.filter(~(ibis.literal(",") + flags + ",").contains(f",{LATE},"))
