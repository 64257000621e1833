"""What monitors found, as time series."""

from __future__ import annotations

from collections.abc import Sequence

from mainstem.errors import UnknownName
from mainstem.monitoring.newest import MONITORS
from mainstem.monitoring.verdicts import Verdict
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.status import MonitorHistory, MonitorPoint
from mainstem.project.branch import Branch

SHOWN = 60
"""The judgements of each monitor that `status` has."""


def monitors(branch: Branch, endpoint: str) -> list[MonitorHistory]:
    """Return every judgement of each monitor of an endpoint. Raises `UnknownName` for another node."""
    endpoints = branch.sound.of(Endpoint)
    if endpoint not in endpoints:
        raise UnknownName.among("endpoint", endpoint, endpoints)
    return histories(branch, endpoint, None)


def histories(branch: Branch, endpoint: str, last: int | None = SHOWN) -> list[MonitorHistory]:
    """Return the judgements of each monitor and metric of an endpoint on a branch, in order."""
    found = dict[tuple[str, str], list[Verdict]]()
    for monitor in MONITORS:
        for each in branch.adapters.state.find(Verdict, endpoint=endpoint, branch=branch.branch, monitor=monitor):
            metric = each.metric or ("value" if monitor == "value" else "")  # one that was not judged has no metric
            found.setdefault((monitor, metric), []).append(each)
    return [
        _history(endpoint, monitor, metric, verdicts if last is None else verdicts[-last:])
        for (monitor, metric), verdicts in found.items()
    ]


def _history(endpoint: str, monitor: str, metric: str, verdicts: Sequence[Verdict]) -> MonitorHistory:
    floor = next((each.floor for each in reversed(verdicts) if each.floor is not None), None)
    points = [_point(each) for each in verdicts]
    return MonitorHistory(endpoint=endpoint, monitor=monitor, metric=metric, floor=floor, points=points)


def _point(found: Verdict) -> MonitorPoint:
    measure, value = found.measure, None
    if found.monitor == "drift" and found.judgement != "not enough rows":
        value = float(sum(shift.drifted for shift in found.shifts))
    return MonitorPoint(
        judged_at=found.created_at.isoformat(),
        until=found.window[1].isoformat(),
        version=found.model_version,
        judgement=found.judgement,
        text=found.text,
        rows=found.rows,
        outcomes=found.outcomes,
        value=measure.value if measure else value,
        low=measure.low if measure else None,
        high=measure.high if measure else None,
    )
