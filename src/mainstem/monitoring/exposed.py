"""What monitors found last of the live versions, as samples of the server's gauges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time

from mainstem.monitoring.newest import newest
from mainstem.monitoring.verdicts import Cohort, Verdict
from mainstem.nodes.endpoints import Endpoint, Monitor
from mainstem.nodes.records import Release
from mainstem.ports import State
from mainstem.serving.gauges import Sample


def samples(state: State, release: Release, branch: str, declared: Mapping[str, Endpoint]) -> Iterator[Sample]:
    """Yield the samples of the declared endpoints with a live version. What was not judged for want of rows has
    none."""
    for endpoint in release.endpoints:
        version = release.champion(endpoint)
        if version is not None and endpoint in declared:
            yield from _endpoint(state, endpoint, branch, version, declared[endpoint].monitors)


def _endpoint(state: State, endpoint: str, branch: str, version: str, monitors: Sequence[Monitor]) -> Iterator[Sample]:
    for verdict in newest(state, endpoint, branch, version, monitors):
        if verdict.judgement != "not enough rows":
            yield from _verdict(verdict)
    cohorts = state.find(Cohort, endpoint=endpoint, branch=branch, model_version=version)
    days = sorted(cohorts, key=lambda each: each.day)
    if days:
        yield Sample("mainstem_days_not_mature", (endpoint, version), sum(not each.mature for each in days))
    mature = [each.day for each in days if each.mature]
    if mature:
        start = datetime.combine(mature[-1], time(), UTC).timestamp()
        yield Sample("mainstem_mature_day_timestamp_seconds", (endpoint, version), start)


def _verdict(found: Verdict) -> Iterator[Sample]:
    labels = (found.endpoint, found.model_version, found.monitor, found.metric)
    values: dict[str, float | None] = {
        "failing": found.judgement == "failing",
        "timestamp_seconds": found.created_at.timestamp(),
        "rows": found.rows,
        "outcomes": found.outcomes,
        "floor": found.floor,
    }
    if found.measure is not None:
        values |= {"value": found.measure.value, "low": found.measure.low, "high": found.measure.high}
    for name, value in values.items():
        if value is not None:
            yield Sample(f"mainstem_monitor_{name}", labels, float(value))
    for shift in found.shifts:
        if shift.enough:
            input = (found.endpoint, found.model_version, shift.input)
            yield Sample("mainstem_input_drifted", input, float(shift.drifted))
            yield Sample("mainstem_input_drift_effect", input, shift.effect)
            yield Sample("mainstem_input_null_share", input, shift.nulls[1])
