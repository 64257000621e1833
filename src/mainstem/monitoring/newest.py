"""The verdicts that hold now: of each monitor and metric of a version, the last one."""

from __future__ import annotations

from mainstem.monitoring.verdicts import Verdict
from mainstem.ports import State

MONITORS = ("drift", "performance", "calibration", "value")

LOOKED_AT = 50
"""Verdicts of a monitor among which the last that judged is searched. An endpoint may watch several metrics."""


def newest(state: State, endpoint: str, branch: str, version: str) -> list[Verdict]:
    """Return the last verdict of each monitor and metric. A monitor that never had enough rows has the last of these.

    What had too few rows does not replace a judgement: the alarm before it still holds.
    """
    found = list[Verdict]()
    for monitor in MONITORS:
        every = state.find(
            Verdict, newest=LOOKED_AT, monitor=monitor, endpoint=endpoint, branch=branch, model_version=version
        )
        judged = {each.metric: each for each in every if each.judgement != "not enough rows"}
        found += judged.values() or every[-1:]
    return found
