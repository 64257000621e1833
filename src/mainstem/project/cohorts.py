"""The days of an endpoint's predictions, with what is known of their outcomes, for status, page and `show`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mainstem.monitoring.verdicts import Cohort
from mainstem.nodes.status import CohortStatus, DayStatus
from mainstem.project.branch import Branch

SHOWN = 7
"""The mature days that `status` shows, and the others."""

DRAWN = 60
"""The days whose distributions `status` has."""


def cohorts(branch: Branch, endpoint: str, last: int | None = SHOWN) -> list[CohortStatus]:
    """Return the days of the champion's predictions, in order: the last mature ones, and the last others."""
    days = _saved(branch, endpoint)
    if last is not None:
        kept = [[each for each in days if each.mature == mature][-last:] for mature in (True, False)]
        days = sorted(kept[0] + kept[1], key=lambda each: each.day)
    return [_status(each) for each in days]


def distributions(branch: Branch, endpoint: str, last: int = DRAWN) -> list[DayStatus]:
    """Return how the champion's predictions of the last days are distributed, in order."""
    return [
        DayStatus(
            day=each.day.isoformat(),
            predictions=each.predictions,
            quantiles=each.shape.quantiles,
            histogram=each.shape.histogram,
            decisions=each.shape.decisions,
            unknown=each.shape.unknown / each.predictions,
            nulls=each.shape.nulls,
        )
        for each in _saved(branch, endpoint)[-last:]
        if each.shape is not None
    ]


def _saved(branch: Branch, endpoint: str) -> list[Cohort]:
    champion = branch.release.champion(endpoint)
    found = branch.adapters.state.find(Cohort, endpoint=endpoint, branch=branch.branch, model_version=str(champion))
    return sorted(found, key=lambda each: each.day)


def told(found: Sequence[CohortStatus]) -> list[dict[str, Any]]:
    """Return days as rows of a table."""
    valued = any(each.worth is not None for each in found)
    return [
        {
            "day": each.day,
            "predictions": each.predictions,
            "outcomes": f"{each.share:.0%}" + ("" if each.mature else ", not mature"),
            each.metric: "" if each.value is None else f"{each.value:.3f} [{each.low:.3f}, {each.high:.3f}]",
            **({"worth": each.valued} if valued else {}),
        }
        for each in found
    ]


def _status(found: Cohort) -> CohortStatus:
    measure = found.measure
    return CohortStatus(
        day=found.day.isoformat(),
        predictions=found.predictions,
        known=found.known,
        share=found.share,
        mature=found.mature,
        metric=found.metric,
        value=measure.value if measure else None,
        low=measure.low if measure else None,
        high=measure.high if measure else None,
        matures_at=found.matures_at.isoformat() if found.matures_at else None,
        worth=found.worth.value if found.worth else None,
        worth_low=found.worth.low if found.worth else None,
        worth_high=found.worth.high if found.worth else None,
    )
