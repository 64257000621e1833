"""How old runs and tables are, as samples of the server's gauges."""

from __future__ import annotations

from collections.abc import Iterator

from mainstem.nodes.records import Release, RunRecord
from mainstem.ports import State
from mainstem.serving.gauges import Sample

ENDED = ("published", "unchanged", "failed")
"""The statuses of runs that ended by themselves."""


def samples(state: State, release: Release, branch: str) -> Iterator[Sample]:
    """Yield when the last runs ended, by status, and when the rows of each node of the release were made."""
    for status in ENDED:  # the last one of each, however many of another status came since
        for run in state.find(RunRecord, branch=branch, status=status, newest=1):
            if run.ended_at is not None:
                yield Sample("mainstem_run_timestamp_seconds", (status,), run.ended_at.timestamp())
    made = dict[str, float | None]()
    for node, snapshot in release.tables.items():
        if snapshot.run not in made:
            record = state.get(RunRecord, snapshot.run)
            made[snapshot.run] = record.ended_at.timestamp() if record and record.ended_at else None
        at_ = made[snapshot.run]
        if at_ is not None and "." not in node:  # predictions, datasets and other relations are not nodes
            yield Sample("mainstem_table_timestamp_seconds", (node,), at_)
