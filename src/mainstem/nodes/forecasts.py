"""Forecasts: how far ahead a model predicts, and which columns tell series apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mainstem.nodes.base import refused, several
from mainstem.nodes.durations import microseconds
from mainstem.nodes.kinds import durations
from mainstem.nodes.outcomes import Outcome

HORIZON, FOR = "horizon", "for"
"""The columns of an example of a forecast: how far ahead it is, in days (float64), and the time that is forecast."""

_EXAMPLE = 'horizons=["1d", "7d"]'


def is_calendar(column: str) -> bool:
    """Return whether an input of a forecast is its horizon, or of the calendar of the time that is forecast."""
    return column == HORIZON or column.startswith(f"{FOR}__")


def some_horizons(name: str, value: Any) -> None:
    """Require positive durations of different lengths: `24h` and `1d` are one horizon."""
    durations(at_least=1)(name, value)
    seen: dict[int, str] = {}
    for each in horizons_of(value):
        same = seen.setdefault(microseconds(each), each)
        if same != each:
            raise refused(f"`{name}` repeats {same!r}", value, "each horizon once", f"{each!r} is as long")


def horizons_of(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return horizons, the nearest first."""
    found = () if given is None else (given,) if isinstance(given, str) else several(given) or ()
    return tuple(sorted((each.strip() for each in found), key=microseconds))


def ahead_of(model: Any) -> str:
    """Return what a model forecasts, in words: `1d, 7d ahead, by shop`."""
    by = f"by {', '.join(model.series)}" if model.series else "one series"
    return f"{', '.join(model.horizons)} ahead, {by}"


def longest(horizons: Sequence[str]) -> str:
    """Return the longest horizon."""
    return max(horizons, key=microseconds)


def check_forecast(horizons: Sequence[str], series: Any, *, timed: bool, target: Any, query: Any) -> tuple[str, ...]:
    """Return the columns of the series. Raises `DefinitionError` for settings that a forecast does not have."""
    found = () if series is None else (series,) if isinstance(series, str) else tuple(series)
    if not horizons:
        if found:
            raise refused("`series` requires `horizons`", found, _EXAMPLE)
        return ()
    if not timed:
        what = "`horizons` require `prediction_time`"
        raise refused(what, list(horizons), "prediction_time=_.day + ibis.interval(days=1)")
    if isinstance(target, Outcome):
        what = "`horizons` require a number that each row has"
        raise refused(what, "target=ms.outcome(…)", "a number, such as target=_.units")
    if query is not None:
        raise refused("`horizons` cannot be ranked", "horizons and query", "one of them")
    return found
