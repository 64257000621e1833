"""How old runs and tables are, as samples of the server's gauges."""

from __future__ import annotations

from collections.abc import Iterator

from mainstem.nodes.records import Release, RunRecord
from mainstem.ports import State
from mainstem.serving.gauges import Sample

RUNS = 50
"""The runs among which the last one of each status is searched."""


def samples(state: State, release: Release, branch: str) -> Iterator[Sample]:
    """Yield when the last runs ended, by status, and when the rows of each node of the release were made."""
    ended = dict[str, float]()
    for run in state.find(RunRecord, branch=branch, newest=RUNS):
        if run.ended_at is not None:
            ended[run.status] = run.ended_at.timestamp()
    for status, at in ended.items():
        yield Sample("mainstem_run_timestamp_seconds", (status,), at)
    made = dict[str, float | None]()
    for node, snapshot in release.tables.items():
        if snapshot.run not in made:
            record = state.get(RunRecord, snapshot.run)
            made[snapshot.run] = record.ended_at.timestamp() if record and record.ended_at else None
        at_ = made[snapshot.run]
        if at_ is not None and "." not in node:  # predictions, datasets and other relations are not nodes
            yield Sample("mainstem_table_timestamp_seconds", (node,), at_)
