"""Where a search looks for a setting, as users write it: `ms.lightgbm(num_leaves=ms.among(8, 64, log=True))`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, cast

from mainstem.models.algorithms.settings import Choice, Range
from mainstem.nodes.base import refused, several
from mainstem.nodes.declared import declared
from mainstem.nodes.kinds import boolean, is_number, number, optional

EXAMPLE = 'two numbers, ms.among(8, 64), or a list of values, ms.among(["gini", "entropy"])'


def _low(name: str, value: Any) -> None:
    """Require a number, or a list of values without repeats."""
    if isinstance(value, (str, bytes, Mapping)) or (several(value) is None and not is_number(value)):
        hint = f"ms.among([{value!r}, …])" if isinstance(value, (str, bool)) else None
        raise refused(f"`{name}` has an invalid value", value, EXAMPLE, hint)
    found = several(value)
    if found is None:
        number()(name, value)
        return
    for each in found:
        if not _plain(each):
            raise refused(
                f"`{name}` has an invalid value", each, "numbers, texts, truth values, None, or tuples of them"
            )
    if len(found) < 2 or any(each in found[:place] for place, each in enumerate(found)):
        raise refused(f"`{name}` must have several different values", value, 'ms.among(["gini", "entropy"])')


def _plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(map(_plain, value))
    return value is None or isinstance(value, (str, bool)) or (isinstance(value, (int, float)) and is_number(value))


@declared(low=_low, high=optional(number()), log=boolean)
def among(low: float | Sequence[Any], high: float | None = None, *, log: bool = False) -> Any:
    """Return where a search looks for a setting: `among(low, high)`, both included, or one of a list of values.

    `log` spreads numbers by their logarithm: as many between 1 and 10 as between 10 and 100. Two whole numbers are a
    range of whole numbers, unless the setting takes fractions. The setting starts with its default if that is in the
    space, else in the middle or with the first value. It needs `tune=` of the model. Raises `DefinitionError` for ends
    that are not in order, and with `log` for ends that are not positive.
    """
    values = several(low)
    if values is not None:
        if high is not None or log:
            raise refused("`high` and `log` are for a range of numbers", values, EXAMPLE)
        return Choice(values)
    if high is None:
        raise refused("`high` is missing", low, EXAMPLE)
    first, last = float(cast(float, low)), float(high)
    if not first < last:
        raise refused("`low` must be below `high`", (low, high), f"ms.among({high}, {low})")
    if log and first <= 0:
        raise refused("`log` requires positive numbers", (low, high), "ms.among(0.001, 10, log=True)")
    whole = isinstance(low, Integral) and isinstance(high, Integral)
    return Range(int(first) if whole else first, int(last) if whole else last, log, whole)
