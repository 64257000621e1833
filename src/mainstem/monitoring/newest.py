"""The verdicts that hold now: of each monitor and metric of a version, the last one."""

from __future__ import annotations

from collections.abc import Iterable

from mainstem.monitoring.verdicts import Verdict
from mainstem.nodes.endpoints import Calibration, Drift, Monitor, Performance, Value
from mainstem.ports import State

MONITORS = ("drift", "performance", "calibration", "value")

LOOKED_AT = 50
"""Judgements of a monitor, fine or failing, among which the last is searched. An endpoint may watch several metrics."""


KINDS = {"drift": Drift, "performance": Performance, "calibration": Calibration, "value": Value}


def newest(
    state: State, endpoint: str, branch: str, version: str, watched: Iterable[Monitor] | None = None
) -> list[Verdict]:
    """Return the last verdict of each monitor and metric. A monitor that never had enough rows has the last of these.

    What had too few rows does not replace a judgement: the alarm before it still holds. With `watched`, the monitors
    that the endpoint declares, those of others are left out: they would never be judged again.
    """
    found = list[Verdict]()
    for monitor in MONITORS:
        of = {"monitor": monitor, "endpoint": endpoint, "branch": branch, "model_version": version}
        # Each judgement is searched on its own: between two, hundreds of runs may have had too few rows.
        every = [v for j in ("fine", "failing") for v in state.find(Verdict, newest=LOOKED_AT, judgement=j, **of)]
        judged = {each.metric: each for each in sorted(every, key=lambda each: each.created_at)}
        found += judged.values() or state.find(Verdict, newest=1, **of)
    rules = None if watched is None else tuple(watched)
    return [each for each in found if rules is None or any(_is_of(each, rule) for rule in rules)]


def _is_of(verdict: Verdict, rule: Monitor) -> bool:
    if not isinstance(rule, KINDS[verdict.monitor]):
        return False
    return not isinstance(rule, Performance) or rule.metric in (None, verdict.metric)
